"""Where voxels lie in the patient: grids, orientations, and the exact way back.

A grid is described in SimpleITK's and DICOM's own terms: sizes, spacings and index axes are in
(x, y, z) order, the world is LPS (x to the patient's left, y to posterior, z to superior) in
millimetres. Arrays are in (Z, Y, X) order, so ``array.shape[-3:] == geometry.shape``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.older_python import zip

Triple = tuple[float, float, float]
ArrayType = TypeVar("ArrayType", bound=np.ndarray)

ORTHONORMAL_TOLERANCE = 1e-4
_TOUCHING = 1e-6  # of a voxel: what two boxes side by side may seem to share by rounding
_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


class GeometryError(HybridSegError):
    """A grid that cannot be: a zero spacing, axes that are not orthonormal, no voxels."""


@dataclass(frozen=True)
class Reorientation:
    """A lossless change of the order and direction of a grid's axes.

    ``order[i]`` is the old axis that becomes new axis ``i``; ``flips[i]`` says whether it is
    then run backwards. Axes are (x, y, z).
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: ArrayType) -> ArrayType:
        """Reorder and flip the last three axes (Z, Y, X) of an array; a view, not a copy."""
        lead = array.ndim - 3
        axes = [lead + 2 - self.order[2 - axis] for axis in range(3)]
        turned = array.transpose([*range(lead), *axes])
        step = [slice(None, None, -1 if self.flips[2 - axis] else 1) for axis in range(3)]
        place: Any = (..., *step)
        return cast("ArrayType", turned[place])

    def inverse(self) -> Reorientation:
        """Give the reorientation that undoes this one."""
        order = tuple(self.order.index(axis) for axis in range(3))
        flips = tuple(self.flips[order[axis]] for axis in range(3))
        return Reorientation(order, flips)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Geometry:
    """A regular grid of voxels in the patient.

    Attributes
    ----------
    size : tuple of int
        Voxels along (x, y, z).
    spacing : tuple of float
        Millimetres between voxel centres along (x, y, z).
    origin : tuple of float
        LPS position of the centre of the first voxel, in millimetres.
    direction : tuple of float
        Nine cosines, row by row; column ``i`` is the LPS direction of index axis ``i``.

    Raises
    ------
    GeometryError
        If a size or spacing is not positive, a number is not finite, or the direction is not
        orthonormal.
    """

    size: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    direction: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        for field in ("spacing", "origin", "direction"):
            object.__setattr__(self, field, tuple(float(v) for v in getattr(self, field)))
        if len(self.size) != 3 or min(self.size) < 1:
            raise GeometryError(f"The grid has no voxels: its size is {self.size}.")
        numbers = (*self.spacing, *self.origin, *self.direction)
        if len(numbers) != 15 or not np.isfinite(numbers).all():
            raise GeometryError("The grid's spacing, origin or direction is not a set of numbers.")
        if min(self.spacing) <= 0:
            raise GeometryError(f"The voxel spacing {self.spacing} mm is not positive.")
        cosines = self.direction_matrix
        if not np.allclose(cosines.T @ cosines, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
            raise GeometryError("The axes of the grid are not at right angles (sheared or scaled).")

    @classmethod
    def from_affine(cls, shape: tuple[int, ...], affine: NDArray[np.floating]) -> Geometry:
        """Make a geometry from an array shape (Z, Y, X) and a 4x4 (x, y, z) index to LPS matrix."""
        steps = np.asarray(affine, dtype=np.float64)[:3, :3]
        spacing = np.linalg.norm(steps, axis=0)
        if not (np.isfinite(spacing).all() and spacing.min() > 0):
            raise GeometryError("The affine matrix is singular: an axis has no length.")
        z, y, x = shape[-3:]
        return cls(
            (x, y, z), tuple(spacing), tuple(affine[:3, 3]), tuple((steps / spacing).ravel())
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (Z, Y, X)."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def spacing_zyx(self) -> Triple:
        """Spacing in array order, in millimetres."""
        return self.spacing[2], self.spacing[1], self.spacing[0]

    @property
    def direction_matrix(self) -> NDArray[np.float64]:
        """The cosines as a 3x3 matrix whose columns are the index axes in LPS."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def affine(self) -> NDArray[np.float64]:
        """The 4x4 matrix from a voxel's (x, y, z) index to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction_matrix * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000.0

    @property
    def axis_codes(self) -> str:
        """The direction that each index axis (x, y, z) runs to, e.g. ``"LPS"``."""
        order = _world_axis_of_index_axis(self.direction_matrix)
        return "".join(
            _AXIS_LETTERS[world][int(self.direction_matrix[world, index] > 0)]
            for index, world in enumerate(order)
        )

    @property
    def is_oblique(self) -> bool:
        """Whether an axis runs more than 0.1 degree off the patient's axes."""
        return bool(np.abs(self.direction_matrix).max(axis=0).min() < np.cos(np.deg2rad(0.1)))

    def world(self, index_zyx: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn (..., 3) array indices (Z, Y, X) into LPS millimetres (x, y, z)."""
        index_xyz = np.asarray(index_zyx, dtype=np.float64)[..., ::-1]
        matrix = self.affine
        return index_xyz @ matrix[:3, :3].T + matrix[:3, 3]

    def index(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn (..., 3) LPS millimetres (x, y, z) into fractional array indices (Z, Y, X)."""
        matrix = self.affine
        offset = np.asarray(world, dtype=np.float64) - matrix[:3, 3]
        return (offset @ np.linalg.inv(matrix[:3, :3]).T)[..., ::-1]

    def to_axis_codes(self, codes: str = "LPS") -> Reorientation:
        """Give the reorientation after which ``axis_codes`` is ``codes``, e.g. ``"RAS"``."""
        letters = {letter: (axis, way) for axis in range(3) for way, letter in _ways(axis)}
        if len(codes) != 3 or {letters[c][0] for c in codes if c in letters} != {0, 1, 2}:
            raise GeometryError(f"{codes!r} is no orientation; give three letters such as 'LPS'.")
        cosines = self.direction_matrix
        world_axes = _world_axis_of_index_axis(cosines)
        order, flips = [], []
        for letter in codes:
            world, way = letters[letter]
            index = world_axes.index(world)
            order.append(index)
            flips.append(bool((cosines[world, index] > 0) != way))
        return Reorientation(tuple(order), tuple(flips))  # type: ignore[arg-type]

    def reoriented(self, change: Reorientation) -> Geometry:
        """Describe the same voxels after ``change`` was applied to their array."""
        cosines = self.direction_matrix
        steps = cosines * np.asarray(self.spacing)
        first = np.asarray(self.origin, dtype=np.float64)
        columns = []
        for old, flip in zip(change.order, change.flips, strict=True):
            if flip:
                first = first + steps[:, old] * (self.size[old] - 1)
            columns.append(-cosines[:, old] if flip else cosines[:, old])
        return Geometry(
            size=tuple(self.size[old] for old in change.order),  # type: ignore[arg-type]
            spacing=tuple(self.spacing[old] for old in change.order),  # type: ignore[arg-type]
            origin=tuple(first),
            direction=tuple(np.stack(columns, axis=1).ravel()),
        )

    def with_spacing(self, spacing: Triple) -> Geometry:
        """Describe a grid of about this spacing (x, y, z) over exactly the same box.

        The box is the outer faces of the voxels. It is divided into a whole number of voxels (at
        least one), so the spacing that comes out may differ a little from the one asked for.
        """
        if not (np.isfinite(spacing).all() and min(spacing) > 0):
            raise GeometryError(f"A spacing of {tuple(spacing)} mm is not possible.")
        extent = np.asarray(self.size) * np.asarray(self.spacing)
        size = np.maximum(np.rint(extent / np.asarray(spacing)), 1).astype(int)
        return self.with_shape(tuple(int(n) for n in size[::-1]))

    def with_shape(self, shape: tuple[int, ...]) -> Geometry:
        """Describe a grid of this array shape (Z, Y, X) over exactly the same box."""
        size = np.asarray(shape[::-1])
        spacing = np.asarray(self.size) * np.asarray(self.spacing) / size
        steps = self.affine[:3, :3]
        centre = steps @ ((np.asarray(self.size) - 1) / 2) + np.asarray(self.origin)
        origin = centre - (self.direction_matrix * spacing) @ ((size - 1) / 2)
        return Geometry(tuple(size), tuple(spacing), tuple(origin), self.direction)

    def same_grid(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Say whether two grids have the same voxels.

        ``tolerance`` is the farthest that any corner of the box may be off, as a part of the
        smallest voxel edge.
        """
        if self.size != other.size:
            return False
        distance = np.abs(self._corners() - other._corners()).max()
        return bool(distance <= tolerance * min(self.spacing))

    def overlaps(self, other: Geometry) -> bool:
        """Say whether the two grids' boxes, in ``other``'s axes, share any space.

        Boxes that only touch share none.
        """
        corners = other.index(self._corners())
        low, high = corners.min(axis=0) + _TOUCHING, corners.max(axis=0) - _TOUCHING
        return bool((high > -0.5).all() and (low < np.asarray(other.shape) - 0.5).all())

    def describe(self) -> str:
        """Give size and spacing as a person reads them, e.g. ``512×512×300, 0.8×0.8×1 mm``."""
        size = "×".join(str(n) for n in self.size)
        spacing = "×".join(f"{s:.3g}" for s in self.spacing)
        return f"{size}, {spacing} mm"

    def _corners(self) -> NDArray[np.float64]:
        """Give the LPS positions of the box's eight corners, the outer faces of its voxels."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def _ways(axis: int) -> tuple[tuple[bool, str], tuple[bool, str]]:
    backward, forward = _AXIS_LETTERS[axis]
    return (False, backward), (True, forward)


def _world_axis_of_index_axis(cosines: NDArray[np.float64]) -> tuple[int, int, int]:
    """Pair index axes with patient axes so that they agree best as a whole.

    Axis by axis, two index axes of a 45 degree oblique grid could claim the same patient axis.
    Of pairings that agree equally well there, the choice depends on the axes in the patient
    alone, not on the order in which the file stores them.
    """

    def fitness(world: tuple[int, ...]) -> tuple[float, ...]:
        columns = [cosines[:, world.index(axis)] for axis in range(3)]
        agreement = sum(abs(column[axis]) for axis, column in enumerate(columns))
        along = [np.copysign(1.0, column[axis]) * column for axis, column in enumerate(columns)]
        return round(float(agreement), 6), *np.round(np.concatenate(along), 4)

    first, second, third = max(permutations(range(3)), key=fitness)
    return first, second, third
