"""Opening medical files and DICOM folders in napari: volumes as images, label maps as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from napari_hybridseg.formats import StoredImage, image_name, is_image_path, read_image
from napari_hybridseg.formats.dicom import SeriesInfo, is_dicom, read_series
from napari_hybridseg.volume import Volume, load_label_map
from napari_hybridseg.widgets.dicom_series import (
    SERIES_KEY,
    ask_for_series,
    can_ask,
    record_of,
    series_in,
)
from napari_hybridseg.widgets.label_names import LABEL_WORDS, words_of
from napari_hybridseg.widgets.layer_data import LayerData, label_map_layer, volume_layers

_MOST_LABELS = 256
_NOTHING = cast(list[LayerData], [(None,)])  # napari's word for 'read, and there is no layer'

PathOrPaths = str | Sequence[str]


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """Give the function that opens these files, or None if one of them is not for us."""
    return read_files if all(is_image_path(each) for each in _as_paths(path)) else None


def read_files(path: PathOrPaths) -> list[LayerData]:
    """Open files and DICOM folders as layers, each as what it looks like.

    Where DICOM holds several series the user is asked which.

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
        layers += _series_layers(each, series) if series else _file_layers(each)
        opened.update(file for one in series for file in one.files)
    return layers or _NOTHING


def _file_layers(path: Path) -> list[LayerData]:
    stored = read_image(path)
    if looks_like_labels(path, stored):
        return [label_map_layer(load_label_map(path))]
    return volume_layers(Volume.from_stored(stored, image_name(path)))


def _series_layers(path: Path, series: list[SeriesInfo]) -> list[LayerData]:
    if len(series) == 1 or not can_ask():
        # where there are several, the reader lists them and refuses
        return _shown(read_image(path), image_name(path), path, series[0])
    chosen = ask_for_series(path, series)
    if chosen is None:
        return []
    stored = read_series(path, chosen.uid)
    return _shown(stored, chosen.description or path.name, path, chosen)


def _shown(stored: StoredImage, name: str, path: Path, series: SeriesInfo) -> list[LayerData]:
    return volume_layers(Volume.from_stored(stored, name), {SERIES_KEY: record_of(path, series)})


def looks_like_labels(path: Path, stored: StoredImage) -> bool:
    """Say whether a file is to be opened as labels.

    It is if it names its labels, or if it is called so (``..._label``, ``..._reference``) and
    holds few different whole numbers from 0 up.
    """
    if stored.scheme is not None:
        return True
    array = stored.array
    is_called_so = not LABEL_WORDS.isdisjoint(words_of(image_name(path))[-1:])
    if not is_called_so or len(array) != 1 or array.dtype.kind not in "iuf":
        return False
    if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
        return False
    values = np.unique(array)
    return bool(len(values) <= _MOST_LABELS and np.equal(values, np.rint(values)).all())


def _as_paths(path: PathOrPaths) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(each) for each in path]
