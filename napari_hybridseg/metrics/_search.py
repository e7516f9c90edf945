"""Compiled search for the nearest border voxel, exact, outward plane by plane and row by row.

As in `_kernels`, every function is re-entrant and releases the GIL. Only integers and float64
come in, so each is compiled once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.compiled import compiled

_NOWHERE = np.iinfo(np.int32).max


@compiled()
def index_rows(rows: Any, columns: Any, height: int) -> Any:
    """Index sorted border voxels by row and by plane.

    Returns
    -------
    first_plane : int
    starts : int32 ndarray (planes * height + 1,)
        Where each row begins in ``columns``.
    boxes : int32 ndarray (planes, 4)
        First and last y, first and last x in each plane; first > last where it is empty.
    """
    first_plane = rows[0] // height
    planes = rows[-1] // height - first_plane + 1
    starts = np.zeros(planes * height + 1, np.int32)
    boxes = np.empty((planes, 4), np.int32)
    for plane in range(planes):
        boxes[plane, 0], boxes[plane, 1] = _NOWHERE, -1
        boxes[plane, 2], boxes[plane, 3] = _NOWHERE, -1
    for k in range(rows.size):
        plane = rows[k] // height - first_plane
        y = rows[k] - (plane + first_plane) * height
        starts[plane * height + y + 1] += 1
        boxes[plane, 0] = min(boxes[plane, 0], y)
        boxes[plane, 1] = max(boxes[plane, 1], y)
        boxes[plane, 2] = min(boxes[plane, 2], columns[k])
        boxes[plane, 3] = max(boxes[plane, 3], columns[k])
    for row in range(starts.size - 1):
        starts[row + 1] += starts[row]
    return first_plane, starts, boxes


@compiled()
def _nearest_in_row(columns: Any, start: int, stop: int, x: int) -> Any:
    """Give the distance in voxels from x to the nearest of the sorted columns[start:stop]."""
    if x <= columns[start]:
        return columns[start] - x
    if x >= columns[stop - 1]:
        return x - columns[stop - 1]
    low, high = start, stop - 1
    while high - low > 1:
        middle = (low + high) // 2
        if columns[middle] <= x:
            low = middle
        else:
            high = middle
    return min(x - columns[low], columns[high] - x)


@compiled()
def _nearest_in_plane(
    columns: Any,
    starts: Any,
    boxes: Any,
    plane: int,
    height: int,
    y: int,
    x: int,
    spacing_y: float,
    spacing_x: float,
    across: float,
    best: float,
) -> Any:
    """Lower ``best`` to the least squared distance to one plane's border voxels.

    ``across`` is the squared distance to the plane.
    """
    low, high = boxes[plane, 0], boxes[plane, 1]
    gap_y = max(low - y, y - high, 0) * spacing_y
    gap_x = max(boxes[plane, 2] - x, x - boxes[plane, 3], 0) * spacing_x
    at_least = gap_x * gap_x
    if low > high or across + gap_y * gap_y + at_least >= best:
        return best
    nearest_y = min(max(y, low), high)
    base = plane * height
    for step in range(high - low + 1):
        in_reach = False
        for side in range(2 if step else 1):
            row = nearest_y - step if side else nearest_y + step
            if row < low or row > high:
                continue
            offset = (row - y) * spacing_y
            squared = across + offset * offset
            if squared + at_least >= best:
                continue
            in_reach = True
            start, stop = starts[base + row], starts[base + row + 1]
            if start < stop:
                along = _nearest_in_row(columns, start, stop, x) * spacing_x
                best = min(best, squared + along * along)
        if not in_reach:
            break
    return best


@compiled()
def _nearest(
    columns: Any,
    starts: Any,
    boxes: Any,
    height: int,
    z: int,
    y: int,
    x: int,
    spacing_z: float,
    spacing_y: float,
    spacing_x: float,
    best: float,
) -> Any:
    """Lower ``best`` to the least squared distance; z counts from the index's first plane."""
    planes = boxes.shape[0]
    nearest_z = min(max(z, 0), planes - 1)
    for step in range(planes):
        in_reach = False
        for side in range(2 if step else 1):
            plane = nearest_z - step if side else nearest_z + step
            if plane < 0 or plane >= planes:
                continue
            offset = (plane - z) * spacing_z
            across = offset * offset
            if across >= best:
                continue
            in_reach = True
            best = _nearest_in_plane(
                columns, starts, boxes, plane, height, y, x, spacing_y, spacing_x, across, best
            )
        if not in_reach:
            break
    return best


@compiled()
def _reach(known: float, z: float, y: float, x: float) -> Any:
    """Bound a squared distance by a neighbour's distance and the way there, and a hair more."""
    bound = (known + np.sqrt(z * z + y * y + x * x)) * (1 + 1e-9)
    return bound * bound


@compiled()
def directed_distances(
    query_rows: Any,
    query_columns: Any,
    begin: int,
    end: int,
    first_plane: int,
    starts: Any,
    boxes: Any,
    columns: Any,
    height: int,
    spacing: Any,
    out: Any,
) -> None:
    """Find the exact distance from queries begin to end to the nearest indexed border voxel.

    The search goes outward plane by plane and row by row and leaves out what is farther than
    the best so far. It starts from what the triangle inequality gives: a query cannot be
    farther from the border than its neighbour is, plus the way to the neighbour. So far-off
    islands, too, look at a few rows only.

    Parameters
    ----------
    query_rows, query_columns : int32 ndarray
        Sorted border voxels, ``z * Y + y`` and ``x``.
    first_plane, starts, boxes, columns
        The other map's border voxels, as from `index_rows`.
    height : int
        Y of the label maps.
    spacing : float64 ndarray (3,)
        Z, Y, X in millimetres.
    out : float64 ndarray
        Receives the distances in millimetres at begin to end.
    """
    mm_z, mm_y, mm_x = spacing[0], spacing[1], spacing[2]
    row, z, y, row_begin = -1, 0, 0, begin
    near, near_end, way_z, way_y = begin, begin, 0.0, 0.0
    for k in range(begin, end):
        x = query_columns[k]
        best = np.inf
        if query_rows[k] != row:
            near, near_end = row_begin, k
            row_begin, row = k, query_rows[k]
            way_z, way_y = -z, -y
            z = row // height
            y = row - z * height
            way_z, way_y = (way_z + z) * mm_z, (way_y + y) * mm_y
        else:
            best = _reach(out[k - 1], 0.0, 0.0, (x - query_columns[k - 1]) * mm_x)
        if near < near_end:
            while near + 1 < near_end and abs(query_columns[near + 1] - x) <= abs(
                query_columns[near] - x
            ):
                near += 1
            way_x = (x - query_columns[near]) * mm_x
            best = min(best, _reach(out[near], way_z, way_y, way_x))
        best = _nearest(
            columns, starts, boxes, height, z - first_plane, y, x, mm_z, mm_y, mm_x, best
        )
        out[k] = np.sqrt(best)
