"""Where windows lie in a volume, in which order, and how much each of their voxels counts.

The grid is MONAI's: windows advance by ``int(size * (1 - overlap))`` and the last one is moved
back to end with the volume, so that results can be compared voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.older_python import zip

Shape = tuple[int, int, int]
Index = tuple[int, int, int]

_SIGMA_PER_SIZE = 0.125
_SMALLEST_IMPORTANCE = 1e-3


@dataclass(frozen=True)
class WindowPlan:
    """Windows over a volume, one by one.

    Attributes
    ----------
    padded : tuple of int
        The array shape (Z, Y, X) that the windows tile: the volume's, grown where it is smaller
        than a window.
    before : tuple of int
        How many of the grown voxels lie in front, per axis.
    window : tuple of int
        Voxels of a window.
    starts : tuple of tuple
        First voxel of every window, Z slowest.
    """

    padded: Shape
    before: Shape
    window: Shape
    starts: tuple[Shape, ...]

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.starts)


@dataclass(frozen=True)
class WindowGrid:
    """The windows of a run as a grid: where they begin along each axis, and which comes when.

    Attributes
    ----------
    padded : tuple of int
        The array shape (Z, Y, X) that the windows tile: the volume's, grown where it is smaller
        than a window.
    before : tuple of int
        How many of the grown voxels lie in front, per axis.
    window : tuple of int
        Voxels of a window.
    along : tuple of tuple
        Where windows begin along Z, Y and X.
    axes : tuple of int
        The order in which the axes are gone through, the slowest first.
    ends_together : bool
        Whether the last two rows of windows along the slowest axis, and along the middle one,
        are run side by side. They share more than other rows do, and so need not be kept in full.
    """

    padded: Shape
    before: Shape
    window: Shape
    along: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    axes: Shape = (0, 1, 2)
    ends_together: bool = False

    def __len__(self) -> int:
        """Count the windows."""
        return prod(len(starts) for starts in self.along)

    @cached_property
    def indices(self) -> tuple[Index, ...]:
        """The place of every window in ``along`` (Z, Y, X), in the order of the run."""
        return tuple(self._in_order())

    @cached_property
    def starts(self) -> tuple[Shape, ...]:
        """First voxel of every window, in the order of the run."""
        z, y, x = self.along
        return tuple((z[i], y[j], x[k]) for i, j, k in self.indices)

    def _in_order(self) -> Iterator[Index]:
        slowest, middle, fastest = (range(len(self.along[axis])) for axis in self.axes)
        if self.ends_together:
            places = [(a, *at) for a in slowest[:-2] for at in _side_by_side(middle, fastest)]
            places += [(a, *at) for at in _side_by_side(middle, fastest) for a in slowest[-2:]]
        else:
            places = [*product(slowest, middle, fastest)]
        back = [self.axes.index(axis) for axis in range(3)]
        for place in places:
            yield place[back[0]], place[back[1]], place[back[2]]


def _side_by_side(middle: range, fastest: range) -> Iterator[tuple[int, int]]:
    """Give the windows of a row along the slowest axis, those at the middle's end in pairs."""
    yield from product(middle[:-2], fastest)
    yield from ((b, c) for c, b in product(fastest, middle[-2:]))


def plan_windows(shape: Shape, window: Shape, overlap: float) -> WindowPlan:
    """Lay windows over an array of ``shape`` so that every voxel is in at least one."""
    grid = window_grid(shape, window, overlap)
    return WindowPlan(grid.padded, grid.before, grid.window, grid.starts)


def window_grid(shape: Shape, window: Shape, overlap: float) -> WindowGrid:
    """Lay the same windows, in the same order, as a grid that need not be written out."""
    padded = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    before = tuple((p - n) // 2 for p, n in zip(padded, shape, strict=True))
    along = tuple(_starts(n, w, overlap) for n, w in zip(padded, window, strict=True))
    return WindowGrid(padded, before, window, along)  # type: ignore[arg-type]


def importance_map(window: Shape, kind: str) -> NDArray[np.float32]:
    """Give the weight of each voxel of a window, shape ``window``.

    ``"constant"`` is 1 everywhere; ``"gaussian"`` falls from the centre with a standard
    deviation of an eighth of the window, but never below 0.001.
    """
    if kind == "constant":
        return np.ones(window, dtype=np.float32)
    weights = np.ones(window, dtype=np.float32)
    for axis, size in enumerate(window):
        distance = np.arange(size, dtype=np.float32) - (size - 1) / 2
        bell = np.exp(-(distance**2) / (2 * (_SIGMA_PER_SIZE * size) ** 2)).astype(np.float32)
        weights *= bell.reshape([-1 if i == axis else 1 for i in range(3)])
    return np.maximum(weights, _SMALLEST_IMPORTANCE)


def _starts(length: int, window: int, overlap: float) -> tuple[int, ...]:
    if window >= length:
        return (0,)
    step = max(int(window * (1 - overlap)), 1)
    return (*range(0, length - window, step), length - window)
