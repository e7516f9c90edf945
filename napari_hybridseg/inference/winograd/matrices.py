"""Winograd's minimal filtering F(m, 3), as matrices along one axis.

``m`` outputs of a filter with three taps take ``m + 2`` products (Lavin and Gray 2016,
arXiv 1509.09308, equations 5 to 12): ``output ((filters g) * (inputs d))``. Along several axes the
matrices are applied one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeAlias


@dataclass(frozen=True)
class Axis:
    """F(m, r) along one axis.

    Attributes
    ----------
    outputs, taps : int
        m and r; ``outputs + taps - 1`` inputs are read.
    inputs_matrix : tuple of tuple of float
        B transposed, (inputs, inputs).
    filters_matrix : tuple of tuple of float
        G, (inputs, taps).
    outputs_matrix : tuple of tuple of float
        A transposed, (outputs, inputs).
    """

    outputs: int
    taps: int
    inputs_matrix: tuple[tuple[float, ...], ...]
    filters_matrix: tuple[tuple[float, ...], ...]
    outputs_matrix: tuple[tuple[float, ...], ...]

    @property
    def inputs(self) -> int:
        """Count the values that are read for one tile."""
        return self.outputs + self.taps - 1


ONE = Axis(1, 1, ((1,),), ((1,),), ((1,),))
TWO = Axis(
    2,
    3,
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
FOUR = Axis(
    4,
    3,
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    (
        (1, 1, 1, 1, 1, 0),
        (0, 1, -1, 2, -2, 0),
        (0, 1, 1, 4, 4, 0),
        (0, 1, -1, 8, -8, 1),
    ),
)
Tile: TypeAlias = tuple[Axis, Axis, Axis]
FLAT: Tile = (ONE, FOUR, FOUR)
SHALLOW: Tile = (TWO, FOUR, FOUR)
DEEP: Tile = (FOUR, FOUR, FOUR)
# the compiled loops know them by their places
KINDS = (SHALLOW, DEEP, FLAT)


def tile_for(taps: tuple[int, int, int], planes: int) -> Tile | None:
    """Choose the tile for a convolution with these taps (Z, Y, X) on so many planes.

    Of two the one with fewer products; None where no tile has such taps.
    """
    if taps == (1, 3, 3):
        return FLAT
    if taps != (3, 3, 3):
        return None
    return min(DEEP, SHALLOW, key=lambda tile: -(-planes // tile[0].outputs) * tile[0].inputs)


def transformed_filters(weight: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
    """Transform filters (C_out, C_in, kz, ky, kx) to (products, C_in, C_out).

    Calculated in double precision; the products of a tile are in the order z, y, x.
    """
    along = [np.array(axis.filters_matrix) for axis in tile]
    found = np.einsum("az,by,cx,oizyx->abcio", *along, weight.astype(np.float64), optimize=True)
    return found.reshape(-1, weight.shape[1], weight.shape[0]).astype(np.float32)
