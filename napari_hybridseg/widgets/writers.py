"""Saving labels onto the exact grid of the file or DICOM series that their volume came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari import current_viewer
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_hybridseg.volume import save_label_map
from napari_hybridseg.widgets.dicom_series import SERIES_KEY, write_segmentation
from napari_hybridseg.widgets.layer_data import label_map_of_attributes, voxels_crc32
from napari_hybridseg.widgets.layer_geometry import (
    LayerError,
    LayerGrid,
    grid_of_attributes,
    grid_of_layer,
    knows_its_grid,
    plain_metadata,
)
from napari_hybridseg.widgets.replacing import may_replace


def write_labels(path: str, data: NDArray[np.generic], attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer; an existing file is replaced only if somebody said so.

    Raises
    ------
    FormatError, LayerError, WriteError
        If it cannot be written.
    """
    overwrite = may_replace(path)
    viewer = current_viewer()
    layers = list(viewer.layers) if viewer is not None else []
    grid = _grid_for(data, attributes, layers)
    label_map = label_map_of_attributes(data, attributes, grid)
    if path.lower().endswith(".dcm"):
        about = _with_series(plain_metadata(attributes), grid, layers)
        is_edited = about.get("voxels_crc32") != voxels_crc32(data)
        write_segmentation(Path(path), label_map, about, is_edited=is_edited, overwrite=overwrite)
    else:
        save_label_map(label_map, Path(path), overwrite=overwrite)
    return [path]


def _grid_for(
    data: NDArray[np.generic], attributes: dict[str, Any], layers: Sequence[Any]
) -> LayerGrid:
    """Find the grid of labels, which may have been drawn on a volume that is open beside them."""
    grid = grid_of_attributes(data.shape, attributes, layers)
    if grid.is_guessed and not plain_metadata(attributes) and any(map(knows_its_grid, layers)):
        name = attributes.get("name", "This layer")
        raise LayerError(
            f"{name} does not know its scan, so it might be saved upside down; open the scan that "
            "it was drawn on beside it."
        )
    if not grid.is_known:
        for note in grid.notes:
            show_warning(note)
    return grid


def _with_series(about: dict[str, Any], grid: LayerGrid, layers: Sequence[Any]) -> dict[str, Any]:
    """Add the DICOM series of the volume that labels lie on, where they do not know it.

    Raises
    ------
    LayerError
        If several series lie there.
    """
    if SERIES_KEY in about:
        return about
    found: dict[str, tuple[str, Any]] = {}
    for layer in layers:
        record = plain_metadata({"metadata": layer.metadata}).get(SERIES_KEY)
        if record and grid_of_layer(layer).source.same_grid(grid.source):
            found.setdefault(record["uid"], (layer.name, record))
    if len(found) > 1:
        names = ", ".join(name for name, _ in found.values())
        raise LayerError(
            f"Several DICOM series lie where these labels lie ({names}); close all but the one "
            "that they were drawn on, and save again."
        )
    for _, record in found.values():
        about[SERIES_KEY] = record
    return about
