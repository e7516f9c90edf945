"""Boxes of voxels between a layer's order and the canonical one, and changes as undo steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.corrections.boxes import Box, Change
from napari_hybridseg.older_python import zip
from napari_hybridseg.widgets.layer_geometry import LayerGrid


def box_to_canonical(grid: LayerGrid, box: Box) -> Box:
    """Say where a box of a layer's array lies in the canonical one."""
    return _between(grid.points_to_canonical, box)


def box_to_layer(grid: LayerGrid, box: Box) -> Box:
    """Say where a box of the canonical array lies in the layer's."""
    return _between(grid.points_to_layer, box)


def apply_change(layer: Any, grid: LayerGrid, change: Change) -> int:
    """Write a change into a Labels layer as one undo step; give the number of voxels."""
    if not change.voxels:
        return 0
    box = box_to_layer(grid, change.box)
    new = grid.to_layer(change.labels)
    where = np.nonzero(layer.data[box] != new)
    places = tuple(axis + part.start for axis, part in zip(where, box, strict=True))
    layer.data_setitem(places, new[where].astype(layer.data.dtype))
    return len(where[0])


def box_drawn(shape: tuple[int, ...], displayed: tuple[int, ...], event: Any) -> Box:
    """Give the box of a layer's array in which a stroke may have changed something.

    napari tells of the ``displayed`` axes only; along the others all is looked at.
    """
    parts = [slice(0, length) for length in shape]
    for axis, first, length in zip(displayed, event.offset, event.data.shape, strict=False):
        parts[axis] = slice(int(first), min(int(first) + int(length), shape[axis]))
    z, y, x = parts
    return z, y, x


def displayed_axes(viewer: Any) -> tuple[int, ...]:
    """Give which of a volume's three axes a viewer displays, in its order."""
    before = viewer.dims.ndim - 3
    return tuple(axis - before for axis in viewer.dims.displayed if axis >= before)


def _between(move: Any, box: Box) -> Box:
    corners = np.array([[part.start for part in box], [part.stop - 1 for part in box]], float)
    moved = np.rint(move(corners)).astype(int)
    low, high = moved.min(axis=0), moved.max(axis=0) + 1
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
