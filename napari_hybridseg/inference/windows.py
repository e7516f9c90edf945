"""Where windows lie in a volume, and how much each of their voxels counts.

The grid is MONAI's: windows advance by ``int(size * (1 - overlap))`` and the last one is moved
back to end with the volume, so that results can be compared voxel by voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]

_SIGMA_PER_SIZE = 0.125
_SMALLEST_IMPORTANCE = 1e-3


@dataclass(frozen=True)
class WindowPlan:
    """The windows of one run.

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


def plan_windows(shape: Shape, window: Shape, overlap: float) -> WindowPlan:
    """Lay windows over an array of ``shape`` so that every voxel is in at least one."""
    padded = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    before = tuple((p - n) // 2 for p, n in zip(padded, shape, strict=True))
    along = (_starts(n, w, overlap) for n, w in zip(padded, window, strict=True))
    return WindowPlan(padded, before, window, tuple(product(*along)))  # type: ignore[arg-type]


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


def _starts(length: int, window: int, overlap: float) -> list[int]:
    if window >= length:
        return [0]
    step = max(int(window * (1 - overlap)), 1)
    return [*range(0, length - window, step), length - window]
