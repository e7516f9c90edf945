"""Cutting a volume into bricks that can be added up, finished and forgotten one by one.

Along each axis the volume is cut where windows begin or end. The sums of a brick live from the
first window that touches it to the last, so what is held at any time is about the overlap of
two rows of windows, never the volume. This module is arithmetic on places alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.inference.windows import Index, Shape, WindowGrid
from napari_hybridseg.older_python import zip

# pieces thinner than this part of a window cost more in handling than they save in memory
_THINNEST = 8
# along X they break up the rows, and short rows are slow: thin ones only where memory is short
_THINNEST_ROW = 2
# below this, the order of the run is MONAI's, and with it the last bit of every sum
_LITTLE_BYTES = 256 * 2**20
_BYTES_PER_SUM = 4


@dataclass(frozen=True)
class Chunks:
    """The pieces of one axis.

    Attributes
    ----------
    cuts : tuple of int
        Where pieces begin, and the end of the last.
    first, last : tuple of int
        For every piece: the first and the last window along this axis that touches it.
    touched : tuple of range
        For every window: the pieces that it touches.
    common : mapping
        For every window and piece that it touches: where what they share begins in the piece and
        in the window, and its length.
    """

    cuts: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    touched: tuple[range, ...]
    common: Mapping[tuple[int, int], tuple[int, int, int]]


def cut_axis(starts: tuple[int, ...], window: int, length: int, thinnest: int) -> Chunks:
    """Cut an axis where windows begin or end, into pieces of at least ``thinnest`` voxels."""
    cuts = [0]
    for cut in sorted({*starts, *(start + window for start in starts)}):
        if cut - cuts[-1] >= thinnest and cut < length:
            cuts.append(cut)
    pieces = range(len(cuts))
    cuts.append(length)
    ends = [start + window for start in starts]
    first = tuple(bisect_right(ends, cuts[p]) for p in pieces)
    last = tuple(bisect_left(starts, cuts[p + 1]) - 1 for p in pieces)
    touched = tuple(
        range(bisect_right(cuts, start) - 1, bisect_left(cuts, start + window)) for start in starts
    )
    common = {}
    for i, start in enumerate(starts):
        for p in touched[i]:
            low, high = max(cuts[p], start), min(cuts[p + 1], start + window)
            common[i, p] = low - cuts[p], low - start, high - low
    return Chunks(tuple(cuts), first, last, touched, common)


@dataclass(frozen=True)
class BrickWall:
    """All bricks of a run; a brick's name is its place (Z, Y, X) among them.

    Attributes
    ----------
    grid : WindowGrid
        The windows of the run, in its order.
    long_rows : bool
        Whether pieces along X are at least half a window long: faster, for a little memory.
    """

    grid: WindowGrid
    long_rows: bool = False

    @cached_property
    def chunks(self) -> tuple[Chunks, Chunks, Chunks]:
        """The pieces along Z, Y and X."""
        grid = self.grid
        parts = _THINNEST, _THINNEST, _THINNEST_ROW if self.long_rows else _THINNEST
        thinnest = [max(window // n, 1) for window, n in zip(grid.window, parts, strict=True)]
        z, y, x = (
            cut_axis(*along)
            for along in zip(grid.along, grid.window, grid.padded, thinnest, strict=True)
        )
        return z, y, x

    def box(self, brick: Index) -> tuple[Shape, Shape]:
        """Give the first voxel of a brick and its shape."""
        (z, y, x), (a, b, c) = brick, (chunk.cuts for chunk in self.chunks)
        return (a[z], b[y], c[x]), (a[z + 1] - a[z], b[y + 1] - b[y], c[x + 1] - c[x])

    def common(self, window: Index, brick: Index) -> tuple[Shape, Shape, Shape]:
        """Give where what they share begins in the brick and in the window, and its voxels."""
        z, y, x = (c.common[i, p] for c, i, p in zip(self.chunks, window, brick, strict=True))
        return (z[0], y[0], x[0]), (z[1], y[1], x[1]), (z[2], y[2], x[2])

    def touched(self, window: Index) -> Iterator[Index]:
        """Give the bricks that a window touches."""
        return product(*(c.touched[i] for c, i in zip(self.chunks, window, strict=True)))  # type: ignore[return-value]

    def is_completed(self, window: Index, brick: Index) -> bool:
        """Whether a brick is final once this window and all before it were added."""
        return all(c.last[p] == i for c, p, i in zip(self.chunks, brick, window, strict=True))

    def windows_of(self, brick: Index) -> Iterator[Index]:
        """Give the windows that touch a brick, in MONAI's order."""
        return product(
            *(range(c.first[p], c.last[p] + 1) for c, p in zip(self.chunks, brick, strict=True))
        )  # type: ignore[return-value]

    def most_voxels(self) -> int:
        """Give the largest number of voxels whose sums are held at once."""
        turn = np.empty([len(starts) for starts in self.grid.along], dtype=np.int64)
        turn[tuple(np.array(self.grid.indices).T)] = np.arange(len(self.grid))
        sizes: NDArray[np.int64] = np.ones(1, dtype=np.int64)
        for chunk in self.chunks:
            sizes = np.multiply.outer(sizes, np.diff(chunk.cuts))
        begins, ends = (
            turn[np.ix_(*(getattr(chunk, which) for chunk in self.chunks))].ravel()
            for which in ("first", "last")
        )
        change = np.zeros(len(self.grid) + 1, dtype=np.int64)
        np.add.at(change, begins, sizes.ravel())
        np.subtract.at(change, ends + 1, sizes.ravel())
        return int(change.cumsum().max())


def lightest_wall(grid: WindowGrid, num_classes: int) -> BrickWall:
    """Order and cut a plan for the least memory, or where that is little, for speed."""
    wall = BrickWall(lightest_order(grid, num_classes))
    is_light = wall.most_voxels() * num_classes * _BYTES_PER_SUM <= _LITTLE_BYTES
    return replace(wall, long_rows=True) if is_light else wall


def lightest_order(grid: WindowGrid, num_classes: int) -> WindowGrid:
    """Give the plan in the order that holds the fewest sums, or in MONAI's if that is light.

    In MONAI's order (Z slowest) sums are equal to the last bit; in another they differ by
    rounding.
    """

    def held(candidate: WindowGrid) -> int:
        return BrickWall(candidate).most_voxels() * num_classes * _BYTES_PER_SUM

    if held(grid) <= _LITTLE_BYTES:
        return grid
    candidates = [
        replace(grid, axes=(slow, middle, fast), ends_together=together)
        for slow, middle, fast in permutations(range(3))
        for together in (False, len(grid.along[slow]) > 1)
    ]
    return min(candidates, key=held)
