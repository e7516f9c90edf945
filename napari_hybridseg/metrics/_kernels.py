"""Compiled loops over label maps: counting, border voxels, nearest border voxels.

Every function is re-entrant (no static storage), releases the GIL and is compiled on first
use for two voxel types only, uint8 and uint16; the result is cached on disk. Threads are the
caller's business: each function works on a range of planes or of queries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.compiled import compiled

VOXELS, AGREED, BORDER = range(3)
KINDS = 3

_BLOCK = 64  # voxels tested for "all background" at once; one cache line of uint8


@compiled()
def _extent(row_a: Any, row_b: Any) -> Any:
    """Give the first and one past the last voxel that is not background, to whole blocks."""
    width = row_a.size
    first, last = width, 0
    start = 0
    while start + _BLOCK <= width:
        seen = row_a.dtype.type(0)
        # A fixed length and no widening of the type: this loop becomes one vector compare.
        for x in range(_BLOCK):
            seen = row_a.dtype.type(seen | row_a[start + x] | row_b[start + x])
        if seen != 0:
            first, last = min(first, start), start + _BLOCK
        start += _BLOCK
    for x in range(start, width):
        if (row_a[x] | row_b[x]) != 0:
            first, last = min(first, x), x + 1
    return min(first, last), last


@compiled()
def _count_runs(row: Any, other: Any, first: int, last: int, voxels: Any, agreed: Any) -> None:
    """Count a row's labels, and where ``other`` agrees, run by run."""
    label, length, same = row[first], 0, 0
    for x in range(first, last):
        if row[x] != label:
            voxels[label] += length
            agreed[label] += same
            label, length, same = row[x], 0, 0
        length += 1
        same += other[x] == label
    voxels[label] += length
    agreed[label] += same


@compiled()
def _mark_differing(
    own: Any, below: Any, above: Any, front: Any, back: Any, left: Any, right: Any, mark: Any
) -> None:
    for x in range(mark.size):
        here = own[x]
        # Not "or": without branches this loop becomes a few vector instructions.
        differs = (
            (here != below[x])
            | (here != above[x])
            | (here != front[x])
            | (here != back[x])
            | (here != left[x])
            | (here != right[x])
        )
        mark[x] = np.uint8(differs & (here != 0))


@compiled()
def _mark_border(labels: Any, z: int, y: int, first: int, last: int, mark: Any) -> None:
    """Set ``mark`` where a voxel's label differs from one of its six neighbours'.

    Beyond the volume's edge everything differs; along an axis of a single voxel there are no
    neighbours to look at (a lone voxel is all border). Background is never marked.
    """
    depth, height, width = labels.shape
    ends_z = depth > 1 and (z == 0 or z == depth - 1)
    ends_y = height > 1 and (y == 0 or y == height - 1)
    row = labels[z, y]
    if ends_z or ends_y or labels.size == 1:
        for x in range(first, last):
            mark[x] = row[x] != 0
        return
    if width > 1:
        mark[0], mark[width - 1] = row[0] != 0, row[width - 1] != 0
        first, last = max(first, 1), min(last, width - 1)
        if first >= last:
            return
    part = slice(first, last)
    own = row[part]
    below, above = (labels[z - 1, y, part], labels[z + 1, y, part]) if depth > 1 else (own, own)
    front, back = (labels[z, y - 1, part], labels[z, y + 1, part]) if height > 1 else (own, own)
    left, right = (row[first - 1 : last - 1], row[first + 1 :]) if width > 1 else (own, own)
    _mark_differing(own, below, above, front, back, left, right, mark[part])


@compiled()
def _count_row(
    labels: Any, other: Any, z: int, y: int, first: int, last: int, mark: Any, counts: Any
) -> None:
    row = labels[z, y]
    _count_runs(row, other[z, y], first, last, counts[VOXELS], counts[AGREED])
    _mark_border(labels, z, y, first, last, mark)
    border = counts[BORDER]
    for x in range(first, last):
        if mark[x]:
            border[row[x]] += 1


@compiled()
def count_planes(a: Any, b: Any, z0: int, z1: int, counts: Any, extents: Any) -> None:
    """Count voxels, border voxels and agreement of every label in planes z0 to z1.

    Parameters
    ----------
    a, b : ndarray
        Two label maps (Z, Y, X), C order, uint8 or uint16.
    counts : int64 ndarray (2, KINDS, labels)
        For a and for b; added to. What is counted for label 0 means nothing.
    extents : int32 ndarray (Z * Y, 2)
        Filled with the first and one past the last voxel of each row that is not background
        in both maps, rounded outward; (0, 0) where there is none.
    """
    _, height, width = a.shape
    mark = np.empty(width, np.uint8)
    for z in range(z0, z1):
        for y in range(height):
            first, last = _extent(a[z, y], b[z, y])
            row = z * height + y
            extents[row, 0], extents[row, 1] = first, last
            if first < last:
                _count_row(a, b, z, y, first, last, mark, counts[0])
                _count_row(b, a, z, y, first, last, mark, counts[1])


@compiled()
def collect_border(
    labels: Any, z0: int, z1: int, extents: Any, cursor: Any, rows: Any, columns: Any
) -> None:
    """Write down the border voxels of planes z0 to z1, sorted into their labels' places.

    Parameters
    ----------
    labels : ndarray (Z, Y, X)
    extents : int32 ndarray (Z * Y, 2)
        From `count_planes`.
    cursor : int64 ndarray (labels,)
        Where the next border voxel of each label goes; negative: nowhere. Moved on.
    rows, columns : int32 ndarray
        Receive ``z * Y + y`` and ``x``.
    """
    _, height, width = labels.shape
    mark = np.empty(width, np.uint8)
    for z in range(z0, z1):
        for y in range(height):
            row = z * height + y
            first, last = np.int64(extents[row, 0]), np.int64(extents[row, 1])
            if first == last:
                continue
            _mark_border(labels, z, y, first, last, mark)
            for x in range(first, last):
                if mark[x]:
                    label = labels[z, y, x]
                    place = cursor[label]
                    if place >= 0:
                        rows[place] = row
                        columns[place] = x
                        cursor[label] = place + 1
