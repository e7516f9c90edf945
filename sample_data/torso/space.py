"""The patient's space: the grid the anatomy is painted on and the smooth warp that varies it.

Everything is in the patient's LPS frame in millimetres: +x to the patient's left, +y to the
back, +z to the head. Arrays are (Z, Y, X) and float32.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]

WARP_WAVELENGTH_MM = 75.0
WARP_MARGIN_MM = 16.0
# Standard deviation of a tensor-product cubic B-spline with independent unit coefficients.
_SPLINE_DEVIATION = 0.479**1.5


def stream(seed: int, name: str) -> np.random.Generator:
    """Give the random stream of one named part, so that parts vary independently.

    Parameters
    ----------
    seed : int
        The patient's seed, not negative.
    name : str
        The part, for example ``"liver"``.
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True)
class Grid:
    """An axis-aligned LPS grid with isotropic voxels.

    Attributes
    ----------
    lower : Triple
        World x, y, z of the first voxel's centre in mm.
    shape : tuple of int
        (Z, Y, X).
    spacing : float
        Voxel size in mm.
    """

    lower: Triple = (-166.0, -126.0, -152.0)
    shape: tuple[int, int, int] = (164, 136, 167)
    spacing: float = 2.0

    def axis(self, number: int, part: slice = slice(None)) -> Field:
        """Give the coordinates in mm along array axis 0 (z), 1 (y) or 2 (x)."""
        values = self.lower[2 - number] + self.spacing * np.arange(self.shape[number])
        return values[part].astype(np.float32)

    @property
    def everywhere(self) -> Box:
        """The box that holds the whole grid."""
        return slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])


@dataclass(frozen=True)
class Points:
    """Anatomical coordinates of the voxels of one box; x, y and z in mm, each (Z, Y, X)."""

    box: Box
    x: Field
    y: Field
    z: Field


@dataclass(frozen=True)
class Space:
    """A grid whose voxels know where they lie in the unvaried anatomy.

    Attributes
    ----------
    seed : int
        The patient.
    grid : Grid
        Where the voxels lie in the world.
    points : Points
        For every voxel, the coordinates in the average anatomy that ends up there.
    scale, shift : Triple
        The rigid part of the variation, x, y, z: world = anatomy * scale + shift (+ warp).
    """

    seed: int
    grid: Grid
    points: Points = field(repr=False)
    scale: Triple
    shift: Triple

    def within(self, lower: Triple, upper: Triple) -> Points:
        """Give the points of the box that surely covers the anatomy from `lower` to `upper`."""
        box: list[slice] = []
        for number in range(3):
            k = 2 - number
            low = lower[k] * self.scale[k] + self.shift[k] - WARP_MARGIN_MM
            high = upper[k] * self.scale[k] + self.shift[k] + WARP_MARGIN_MM
            first = int((low - self.grid.lower[k]) / self.grid.spacing)
            last = int((high - self.grid.lower[k]) / self.grid.spacing) + 1
            box.append(slice(max(first, 0), min(max(last, 1), self.grid.shape[number])))
        part: Box = (box[0], box[1], box[2])
        whole = self.points
        return Points(part, whole.x[part], whole.y[part], whole.z[part])

    def noise(self, name: str, points: Points, wavelength: float) -> Field:
        """Give a smooth random field of unit variance over the points' box (see smooth_field)."""
        return smooth_field(stream(self.seed, name), self.grid, points.box, wavelength)


def make_space(seed: int, grid: Grid) -> Space:
    """Draw a patient's size, position and smooth deformation."""
    rng = stream(seed, "space")
    scale = (rng.uniform(0.95, 1.04), rng.uniform(0.94, 1.05), rng.uniform(0.95, 1.06))
    shift = (rng.uniform(-4, 4), rng.uniform(-4, 2), rng.uniform(-8, 8))
    lean = rng.normal(0.0, 0.02)
    z, y, x = np.meshgrid(*(grid.axis(n) for n in range(3)), indexing="ij", sparse=True)
    warps = [
        amplitude * smooth_field(rng, grid, grid.everywhere, WARP_WAVELENGTH_MM)
        for amplitude in (2.6, 2.2, 3.4)
    ]
    points = Points(
        grid.everywhere,
        ((x - shift[0] - lean * z) / scale[0] + warps[0]).astype(np.float32),
        ((y - shift[1]) / scale[1] + warps[1]).astype(np.float32),
        ((z - shift[2] + lean * x) / scale[2] + warps[2]).astype(np.float32),
    )
    return Space(seed, grid, points, scale, shift)


def smooth_field(rng: np.random.Generator, grid: Grid, box: Box, wavelength: float) -> Field:
    """Draw a smooth random field: a cubic B-spline with independent normal coefficients.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the coefficients come from.
    grid : Grid
        The grid.
    box : Box
        The part of the grid that is wanted.
    wavelength : float
        Distance of the spline's knots in mm.

    Returns
    -------
    ndarray
        (Z, Y, X) of the box, float32, zero mean and about unit variance.
    """
    bases = [_spline_basis(grid.axis(n, box[n]), wavelength) for n in range(3)]
    values = rng.standard_normal([basis.shape[1] for basis in bases]).astype(np.float32)
    for basis in bases:
        values = np.tensordot(values, basis, axes=(0, 1))
    return (values / np.float32(_SPLINE_DEVIATION)).astype(np.float32)


def _spline_basis(coordinates: Field, knot_distance: float) -> Field:
    position = (coordinates - coordinates[0]) / knot_distance
    knots = np.arange(int(position[-1]) + 4) - 1
    t = np.abs(position[:, None] - knots[None, :])
    near = 2 / 3 - t**2 + t**3 / 2
    far = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, near, far).astype(np.float32)
