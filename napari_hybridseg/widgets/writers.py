"""Saving labels onto the exact grid of the file or DICOM series that their volume came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari import current_viewer
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_hybridseg.volume import save_label_map
from napari_hybridseg.widgets.dicom_series import write_segmentation
from napari_hybridseg.widgets.layer_data import label_map_of_attributes, voxels_crc32
from napari_hybridseg.widgets.layer_geometry import (
    LayerError,
    LayerGrid,
    grid_of_attributes,
    knows_its_grid,
    plain_metadata,
)


def write_labels(path: str, data: NDArray[np.generic], attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer; napari has asked already whether a file may be replaced.

    Raises
    ------
    FormatError, LayerError, WriteError
        If it cannot be written.
    """
    grid = _grid_for(data, attributes)
    label_map = label_map_of_attributes(data, attributes, grid)
    if path.lower().endswith(".dcm"):
        about = plain_metadata(attributes)
        is_edited = about.get("voxels_crc32") != voxels_crc32(data)
        write_segmentation(Path(path), label_map, about, is_edited=is_edited)
    else:
        save_label_map(label_map, Path(path), overwrite=True)
    return [path]


def _grid_for(data: NDArray[np.generic], attributes: dict[str, Any]) -> LayerGrid:
    """Find the grid of labels, which may have been drawn on a volume that is open beside them."""
    viewer = current_viewer()
    layers = list(viewer.layers) if viewer is not None else []
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
