"""Border voxels of two label maps and the distances between them, for all labels at once.

A border voxel is one that an erosion with the 6-connected cross takes away; what lies beyond
the volume's edge counts as outside. This is the border of MONAI's and medpy's surface metrics.
A map of a single slice has no outside above and below it: it is scored as a 2D picture.

Importing this module loads numba: import it inside the function that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.metrics import _kernels as kernels
from napari_hybridseg.metrics import _search as search
from napari_hybridseg.older_python import pairwise, zip

LabelArray = Union[NDArray[np.uint8], NDArray[np.uint16]]

_MOST_THREADS = 16
_SLABS_PER_THREAD = 4
_TABLE_BYTES = 8 << 20
_QUERIES_PER_TASK = 8192


class Slab(NamedTuple):
    """A range of planes or of queries, from begin to one before end."""

    begin: int
    end: int


@dataclass(frozen=True)
class LabelCounts:
    """What one look at two label maps, a and b, tells about every label number.

    Attributes
    ----------
    voxels_a, voxels_b, agreed : int64 ndarray (numbers,)
        Voxels with this label in a, in b, and in both; background is not counted.
    slabs : tuple of Slab
        The planes that were counted by themselves.
    border : int64 ndarray (slabs, 2, numbers)
        Border voxels of a and b in each slab.
    extents : int32 ndarray (Z * Y, 2)
        First and one past the last x of each row that is not background in both maps.
    """

    voxels_a: NDArray[np.int64]
    voxels_b: NDArray[np.int64]
    agreed: NDArray[np.int64]
    slabs: tuple[Slab, ...]
    border: NDArray[np.int64]
    extents: NDArray[np.int32]

    @property
    def present(self) -> tuple[int, ...]:
        """The labels that occur in either map."""
        return tuple(int(label) for label in np.flatnonzero(self.voxels_a + self.voxels_b))

    def of(self, label: int) -> tuple[int, int, int]:
        """Give the voxels of a label in a, in b, and in both."""
        if label >= self.voxels_a.size:
            return 0, 0, 0
        return int(self.voxels_a[label]), int(self.voxels_b[label]), int(self.agreed[label])


@dataclass(frozen=True)
class Border:
    """The border voxels of one label in one map, sorted by row, then column.

    ``rows`` are ``z * Y + y``, ``columns`` are ``x``; both int32 of shape (voxels,).
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]


def usable_threads() -> int:
    """Give the number of cores this process may run on, at most 16."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


def count_labels(a: LabelArray, b: LabelArray, pool: Executor, threads: int) -> LabelCounts:
    """Count the voxels, the agreement and the border voxels of all labels in one pass.

    Parameters
    ----------
    a, b : ndarray
        Shape (Z, Y, X), C order, both uint8 or both uint16; 0 is background.
    pool : Executor
        Runs the slabs.
    threads : int
        How many threads the pool has.
    """
    depth, height, _ = a.shape
    numbers = 256 if a.dtype == np.uint8 else int(max(a.max(), b.max())) + 1
    affordable = _TABLE_BYTES // (numbers * 2 * kernels.KINDS * 8)
    slabs = _split(depth, min(threads * _SLABS_PER_THREAD, max(threads, affordable)))
    counts = np.zeros((len(slabs), 2, kernels.KINDS, numbers), dtype=np.int64)
    extents = np.empty((depth * height, 2), dtype=np.int32)

    def count(index: int) -> None:
        begin, end = slabs[index]
        kernels.count_planes(a, b, begin, end, counts[index], extents)

    list(pool.map(count, range(len(slabs))))
    counts[..., 0] = 0
    total = counts.sum(axis=0)
    return LabelCounts(
        voxels_a=total[0, kernels.VOXELS],
        voxels_b=total[1, kernels.VOXELS],
        agreed=total[0, kernels.AGREED],
        slabs=slabs,
        border=counts[:, :, kernels.BORDER],
        extents=extents,
    )


def collect_borders(
    a: LabelArray, b: LabelArray, counts: LabelCounts, labels: Sequence[int], pool: Executor
) -> tuple[dict[int, Border], dict[int, Border]]:
    """Collect the border voxels of some labels of the two counted maps.

    Returns
    -------
    tuple of dict
        Label to border, in a and in b.
    """
    return (
        _collect(a, counts, counts.border[:, 0], labels, pool),
        _collect(b, counts, counts.border[:, 1], labels, pool),
    )


def _collect(
    label_map: LabelArray,
    counts: LabelCounts,
    border: NDArray[np.int64],
    labels: Sequence[int],
    pool: Executor,
) -> dict[int, Border]:
    wanted = np.asarray(labels, dtype=np.int64)
    sizes = border[:, wanted]
    ends = sizes.sum(axis=0).cumsum()
    begins = ends - sizes.sum(axis=0)
    cursors = np.full(border.shape, -1, dtype=np.int64)
    cursors[:, wanted] = begins + sizes.cumsum(axis=0) - sizes
    rows, columns = (np.empty(int(sizes.sum()), dtype=np.int32) for _ in range(2))

    def collect(index: int) -> None:
        begin, end = counts.slabs[index]
        kernels.collect_border(label_map, begin, end, counts.extents, cursors[index], rows, columns)

    list(pool.map(collect, range(len(counts.slabs))))
    return {
        label: Border(rows[begin:end], columns[begin:end])
        for label, begin, end in zip(labels, begins, ends, strict=True)
    }


def directed_distances(
    queries: Border, targets: Border, height: int, spacing: Sequence[float], pool: Executor
) -> NDArray[np.float64]:
    """Give the distance from each border voxel to the other map's nearest one.

    Parameters
    ----------
    queries, targets : Border
        Neither empty.
    height : int
        Y of the maps.
    spacing : sequence of float
        Z, Y, X in millimetres.
    pool : Executor
        Runs long lists of queries in parts.

    Returns
    -------
    float64 ndarray (len(queries.rows),)
        In millimetres, in the order of the queries; exact but for the last rounding.
    """
    first_plane, starts, boxes = search.index_rows(targets.rows, targets.columns, height)
    step = np.asarray(spacing, dtype=np.float64)
    out = np.empty(queries.rows.size, dtype=np.float64)

    def find(part: Slab) -> None:
        search.directed_distances(
            queries.rows,
            queries.columns,
            part.begin,
            part.end,
            first_plane,
            starts,
            boxes,
            targets.columns,
            height,
            step,
            out,
        )

    parts = _split(out.size, out.size // _QUERIES_PER_TASK)
    if len(parts) == 1:
        find(parts[0])
    else:
        list(pool.map(find, parts))
    return out


def _split(length: int, parts: int) -> tuple[Slab, ...]:
    """Cut 0..length into nearly equal ranges, at least one, none of them empty."""
    count = max(1, min(parts, length))
    edges = [length * part // count for part in range(count + 1)]
    return tuple(Slab(begin, end) for begin, end in pairwise(edges))
