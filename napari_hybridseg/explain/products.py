"""What an explanation is made of: plain data that travels between engine and faces.

Everything with a place lies on the volume's canonical grid and knows the file's, as a
``LabelMap`` does. Points are in LPS millimetres (x, y, z); voxel indices are (Z, Y, X).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar, Union

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeAlias

from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.explain.views import View
from napari_hybridseg.volume import LabelMap, OnGrid

Scale = Literal["sequential", "diverging"]


@dataclass(frozen=True, eq=False)
class WindowBox:
    """The window that a clicked voxel was explained in.

    Attributes
    ----------
    corners_mm : ndarray
        Shape (8, 3): the outer faces' corners, LPS millimetres. Corner ``4 * k + 2 * j + i`` is
        at the low (0) or high (1) end of the network's axes Z (k), Y (j) and X (i).
    low, high : tuple of float
        The box's ends in voxels (Z, Y, X) of the volume's canonical grid, outer faces (a voxel
        reaches half a voxel to both sides of its index); fractions where the network works at
        another spacing. Ends outside the volume mean that the window is padded there.
    """

    corners_mm: NDArray[np.float64]
    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class HeatMap(OnGrid):
    """A number for every voxel.

    Attributes
    ----------
    array : ndarray
        Shape (Z, Y, X), float32, canonical orientation.
    geometry, source : Geometry
        The grid of ``array``, and that of the file.
    title : str
        What is shown: place, head, token.
    unit : str
        What the numbers are.
    scale : str
        ``"diverging"`` where the sign means something; 0 is then the middle.
    limits : tuple of float or None
        The range that the numbers can have, where it is known.
    """

    array: NDArray[np.float32]
    title: str
    unit: str = ""
    scale: Scale = "sequential"
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Matrix:
    """Numbers for pairs.

    Attributes
    ----------
    values : ndarray
        Shape (rows, columns), float32.
    rows, columns : tuple of str
        What they are.
    row_title, column_title, title, unit, scale, limits
        As people read them; see :class:`HeatMap`.
    """

    values: NDArray[np.float32]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    title: str
    row_title: str = ""
    column_title: str = ""
    unit: str = ""
    scale: Scale = "sequential"
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Bars:
    """Numbers for a row of names.

    Attributes
    ----------
    values : ndarray
        Shape (names,), float32.
    names : tuple of str
        What they are.
    even : float or None
        What each would be if all were alike; a line to draw.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    title: str
    name_title: str = ""
    unit: str = ""
    even: float | None = None


@dataclass(frozen=True, eq=False)
class SamplingPoints(OnGrid):
    """Where a query of deformable attention looks.

    Attributes
    ----------
    query_mm : ndarray
        Shape (3,): the centre of the query's token, LPS millimetres.
    points_mm : ndarray
        Shape (P, 3), LPS millimetres, heads slowest, then levels, then points.
    points_voxel : ndarray
        Shape (P, 3): the same in voxels (Z, Y, X) of the canonical grid, fractions.
    weights : ndarray
        Shape (P,), float32; they sum to 1 over each head.
    head, level, point : ndarray
        Shape (P,), whole numbers, counted from 0.
    inside : ndarray
        Shape (P,), bool: whether the network read anything there, or looked outside its window.
    """

    query_mm: NDArray[np.float64]
    points_mm: NDArray[np.float64]
    points_voxel: NDArray[np.float64]
    weights: NDArray[np.float32]
    head: NDArray[np.int64]
    level: NDArray[np.int64]
    point: NDArray[np.int64]
    inside: NDArray[np.bool_]
    title: str

    @property
    def vectors_mm(self) -> NDArray[np.float64]:
        """From the query to each point, shape (P, 3), LPS millimetres."""
        return self.points_mm - self.query_mm


@dataclass(frozen=True)
class UncertainRegion:
    """A region, or a part of a long one, that the network is unsure about.

    Attributes
    ----------
    number : int
        From 1, the most uncertain first; its number in the label map of regions.
    centroid_mm : tuple of float
        LPS millimetres; weighted by entropy.
    peak_mm : tuple of float
        The most uncertain voxel, LPS millimetres: always in the region.
    size_ml : float
        Millilitres.
    mean_entropy : float
        In nats.
    """

    number: int
    centroid_mm: tuple[float, float, float]
    peak_mm: tuple[float, float, float]
    size_ml: float
    mean_entropy: float


@dataclass(frozen=True)
class RegionTable:
    """The uncertain regions, ordered by entropy summed over their volume, the largest first."""

    regions: tuple[UncertainRegion, ...]
    threshold: float
    title: str = "Uncertain regions"


Product: TypeAlias = Union[HeatMap, LabelMap, Matrix, Bars, SamplingPoints, RegionTable]
ProductType = TypeVar("ProductType", HeatMap, LabelMap, Matrix, Bars, SamplingPoints, RegionTable)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The result of one view.

    Attributes
    ----------
    view : View
        What was asked for.
    options : ExplainOptions
        With every choice that was left open filled in.
    products : tuple
        What came out, the most telling first.
    provenance : str
        One line for under a picture: architecture, checkpoint, place, volume, software.
    window : WindowBox or None
        The window of a clicked voxel.
    facts : dict
        Numbers worth saying, by their name with the unit.
    notes : tuple of str
        What the user should know.
    """

    view: View
    options: ExplainOptions
    products: tuple[Product, ...]
    provenance: str
    window: WindowBox | None = None
    facts: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of_kind(self, kind: type[ProductType]) -> tuple[ProductType, ...]:
        """Give the products of one class."""
        return tuple(product for product in self.products if isinstance(product, kind))
