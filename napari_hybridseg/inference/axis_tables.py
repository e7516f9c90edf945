"""Which voxels of the network's grid an output voxel lies between, axis by axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class AxisTable:
    """Linear interpolation along one axis; two grids over the same box.

    Attributes
    ----------
    start : int
        The first output index that the table speaks of.
    low, high : int64 ndarray
        For every output index from ``start``: the voxels on either side, ``low <= high``.
    part : float32 ndarray
        How far the output voxel lies from the first to the second, 0 to 1.
    """

    start: int
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    part: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the output indices."""
        return len(self.part)

    @property
    def is_identity(self) -> bool:
        """Whether output voxels are the voxels themselves."""
        return bool((self.low == np.arange(len(self))).all() and not self.part.any())

    def piece(self, begin: int, end: int) -> AxisTable:
        """Give the outputs whose upper neighbour lies in ``[begin, end)``, counted from there.

        Voxel ``begin`` gets number 1, so that 0 is its neighbour below.
        """
        first, last = np.searchsorted(self.high, (begin, end))
        part = slice(int(first), int(last))
        return AxisTable(
            self.start + int(first),
            self.low[part] - (begin - 1),
            self.high[part] - (begin - 1),
            self.part[part],
        )


def axis_table(
    length: int, output: int, begin: int = 0, end: int | None = None, *, nearest: bool = False
) -> AxisTable:
    """Make the table of an axis, as torch interpolates with ``align_corners=False``.

    Parameters
    ----------
    length, output : int
        Voxels of the network's grid and of the output over the same box.
    begin, end : int
        The part of the network's grid that there are logits of: outputs whose centre lies in it
        are given, and its voxels are counted from ``begin``.
    nearest : bool
        Take the nearest voxel instead of interpolating.
    """
    end = length if end is None else end
    scale = length / output
    centre = (np.arange(output) + 0.5) * scale
    inside = np.flatnonzero((centre >= begin) & (centre < end))
    place = np.clip(centre[inside] - 0.5, begin, end - 1) - begin
    if nearest:
        place = np.minimum(centre[inside].astype(np.int64), end - 1) - begin
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    start = int(inside[0]) if len(inside) else 0
    return AxisTable(start, low, low + (part > 0), part)
