"""Opening medical files in napari: volumes as images, label maps as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from napari_hybridseg.formats import StoredImage, image_name, is_image_path, read_image
from napari_hybridseg.volume import Volume, load_label_map
from napari_hybridseg.widgets.layer_data import LayerData, label_map_layer, volume_layers

_LABEL_WORDS = ("label", "labels", "seg", "segmentation", "reference", "mask", "gt")
_MOST_LABELS = 256

PathOrPaths = str | Sequence[str]


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """Give the function that opens these files, or None if one of them is not for us."""
    return read_files if all(is_image_path(each) for each in _as_paths(path)) else None


def read_files(path: PathOrPaths) -> list[LayerData]:
    """Open files as layers, each as what it looks like.

    Raises
    ------
    FormatError, VolumeError
        If a file cannot be read truly; the message says why.
    """
    layers: list[LayerData] = []
    for each in _as_paths(path):
        stored = read_image(each)
        if looks_like_labels(each, stored):
            layers.append(label_map_layer(load_label_map(each)))
        else:
            layers += volume_layers(Volume.from_stored(stored, image_name(each)))
    return layers


def looks_like_labels(path: Path, stored: StoredImage) -> bool:
    """Say whether a file is to be opened as labels.

    It is if it names its labels, or if it is called so (``..._label``, ``..._reference``) and
    holds few different whole numbers from 0 up.
    """
    if stored.scheme is not None:
        return True
    last_word = image_name(path).lower().replace("-", "_").split("_")[-1]
    array = stored.array
    if last_word not in _LABEL_WORDS or len(array) != 1 or array.dtype.kind not in "iuf":
        return False
    if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
        return False
    values = np.unique(array)
    return bool(len(values) <= _MOST_LABELS and np.equal(values, np.rint(values)).all())


def _as_paths(path: PathOrPaths) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(each) for each in path]
