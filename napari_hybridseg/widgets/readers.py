"""Opening medical files and DICOM folders in napari: volumes as images, label maps as labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Union, cast

import numpy as np

from napari_hybridseg.corrections.manifest import CASE_MANIFEST, EDITED
from napari_hybridseg.formats import (
    ChannelAxis,
    Sheared,
    StoredImage,
    image_name,
    is_image_path,
    is_photograph,
    read_image,
)
from napari_hybridseg.formats.dicom import SeriesInfo, is_dicom, read_series
from napari_hybridseg.formats.stored import volumes_note
from napari_hybridseg.volume import Volume, load_label_map, names_file, scheme_beside
from napari_hybridseg.widgets.dicom_series import (
    SERIES_KEY,
    ask_for_series,
    record_of,
    series_in,
)
from napari_hybridseg.widgets.label_names import LABEL_WORDS, words_of
from napari_hybridseg.widgets.layer_data import LayerData, label_map_layer, volume_layers
from napari_hybridseg.widgets.notices import tell_notes
from napari_hybridseg.widgets.questions import ask_what_volumes_are, can_ask, read_or_resample

_MOST_LABELS = 256
_NOTHING = cast(list[LayerData], [(None,)])  # napari's word for 'read, and there is no layer'

PathOrPaths = Union[str, Sequence[str]]


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """Give the function that opens these files, or None if one of them is not for us.

    Photographs are napari's own to open, as one layer in colour.
    """
    ours = all(is_image_path(each) and not is_photograph(each) for each in _as_paths(path))
    return read_files if ours else None


def read_files(path: PathOrPaths) -> list[LayerData]:
    """Open files and DICOM folders as layers, each as what it looks like.

    Where there is a window the user is asked what a file leaves open: which of several DICOM
    series, whether to resample an irregular grid, what the volumes of a 4D file are.

    Raises
    ------
    FormatError, VolumeError
        If a file cannot be read truly; the message says why.
    """
    layers: list[LayerData] = []
    opened: set[Path] = set()
    for each in _as_paths(path):
        if each in opened:  # another slice of the same series
            continue
        series = series_in(each) if is_dicom(each) else []
        layers += _series_layers(each, series) if series else _file_layers(each) or []
        opened.update(file for one in series for file in one.files)
    return layers or _NOTHING


def _file_layers(path: Path) -> list[LayerData] | None:
    def read(resample: bool) -> list[LayerData]:
        stored = read_image(path, sheared="resample-nearest" if resample else "refuse")
        if looks_like_labels(path, stored):
            label_map = load_label_map(path, resample=resample)
            tell_notes(label_map.name, label_map.notes)
            return [label_map_layer(label_map)]
        if resample:
            stored = read_image(path, sheared="resample")
        return _shown(stored, image_name(path))

    return read_or_resample(read)


def _series_layers(path: Path, series: list[SeriesInfo]) -> list[LayerData]:
    is_clear = len(series) == 1 or not can_ask()
    # where there are several, the reader lists them and refuses
    chosen = series[0] if is_clear else ask_for_series(path, series)
    if chosen is None:
        return []

    def read(resample: bool) -> StoredImage:
        how: Sheared = "resample" if resample else "refuse"
        if is_clear:
            return read_image(path, sheared=how)
        return read_series(path, chosen.uid, irregular=how)

    stored = read_or_resample(read)
    if stored is None:
        return []
    name = image_name(path) if is_clear else chosen.description or path.name
    return _shown(stored, name, {SERIES_KEY: record_of(path, chosen)})


def _shown(
    stored: StoredImage, name: str, origin: Mapping[str, Any] | None = None
) -> list[LayerData]:
    volume = Volume.from_stored(stored, name)
    count = len(volume.array)
    if count > 1 and volume.channel_axis.kind == "unstated" and can_ask():
        kind = ask_what_volumes_are(name, count)
        if kind is None:
            return []
        asked = volumes_note(count, volume.channel_axis)
        notes = tuple(note for note in volume.notes if note != asked)
        volume = replace(volume, channel_axis=ChannelAxis(kind), notes=notes)
    return volume_layers(volume, origin)


def looks_like_labels(path: Path, stored: StoredImage) -> bool:
    """Say whether a file is to be opened as labels.

    It is if it names its labels, or if it is the edited voxels of a correction, or if it is called
    so (``..._label``, ``..._reference``) or a JSON file of its name has label names, and it holds
    few different whole numbers from 0 up.
    """
    if stored.scheme is not None or _is_edited_mask(path):
        return True
    array = stored.array
    is_called_so = not LABEL_WORDS.isdisjoint(words_of(image_name(path))[-1:])
    has_names = names_file(path).is_file() and scheme_beside(path)[0] is not None
    if not (is_called_so or has_names) or len(array) != 1 or array.dtype.kind not in "iuf":
        return False
    if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
        return False
    values = np.unique(array)
    return bool(len(values) <= _MOST_LABELS and np.equal(values, np.rint(values)).all())


def _is_edited_mask(path: Path) -> bool:
    return path.name == EDITED and (path.parent / CASE_MANIFEST).is_file()


def _as_paths(path: PathOrPaths) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(each) for each in path]
