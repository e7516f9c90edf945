"""From the matrix that a file states to a grid that the engine can trust.

A file may state any 4x4 matrix. The engine works on grids whose axes are at right angles, so a
matrix is taken as it is, straightened when it is off by rounding only, resampled on request, or
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.stored import (
    UNSTATED,
    ChannelAxis,
    FormatError,
    IrregularGridError,
    StoredImage,
)
from napari_hybridseg.geometry import ORTHONORMAL_TOLERANCE, Geometry
from napari_hybridseg.labels import LabelScheme

Sheared = Literal["refuse", "resample", "resample-nearest"]
Size = tuple[int, int, int]
Matrix = NDArray[np.float64]

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ROUNDING_VOXELS = 0.1
_PARALLEL = 1e-6
_USUAL_SPACING_MM = (0.01, 100.0)
_MOST_GROWTH = 4


@dataclass(frozen=True)
class RawImage:
    """What a file states, before its matrix is judged.

    Attributes
    ----------
    array : ndarray
        Shape (C, Z, Y, X).
    affine : ndarray
        4x4, from (x, y, z) index to LPS millimetres; any matrix at all.
    scheme, modality, notes, channel_axis
        As in `StoredImage`.
    """

    array: NDArray[np.generic]
    affine: Matrix
    scheme: LabelScheme | None = None
    modality: str = ""
    notes: tuple[str, ...] = ()
    channel_axis: ChannelAxis = UNSTATED

    @property
    def size(self) -> Size:
        """Voxels along (x, y, z)."""
        return self.array.shape[3], self.array.shape[2], self.array.shape[1]


def settle(raw: RawImage, path: Path, sheared: Sheared = "refuse") -> StoredImage:
    """Turn what a file states into an image on an orthonormal grid.

    Parameters
    ----------
    raw : RawImage
        The file's voxels and matrix.
    path : Path
        The file, for the message.
    sheared : {"refuse", "resample", "resample-nearest"}
        What to do when the axes are not at right angles (a tilted CT gantry): refuse, interpolate
        linearly, or take the nearest voxel (for label maps).

    Raises
    ------
    FormatError
        If the matrix is singular or not finite; `IrregularGridError` if it is sheared and to be
        refused.
    """
    if not is_usable(raw.affine, raw.size):
        raise FormatError(
            f"{path} states a singular position matrix, so its voxels lie nowhere; convert it "
            "from the original scan again."
        )
    notes = raw.notes + _spacing_notes(raw.affine)
    array, affine = raw.array, raw.affine
    skew = _skew(affine)
    if skew > ORTHONORMAL_TOLERANCE:
        straight = _straightened(affine, raw.size)
        moved = _corner_distance(affine, straight, raw.size) / _spacing(affine).min()
        if moved <= ROUNDING_VOXELS:
            affine = straight
            notes += (
                f"The axes were off a right angle by rounding and were straightened; no voxel "
                f"moved by more than {moved:.2g} voxels.",
            )
        elif sheared == "refuse":
            raise IrregularGridError(
                f"{path} is sheared: its axes are {np.rad2deg(np.arcsin(min(skew, 1))):.1f} "
                "degrees off a right angle (a tilted gantry?)",
                "export it with the tilt corrected",
            )
        else:
            array, affine = _resampled(raw, path, linear=sheared == "resample")
            notes += ("The grid was sheared; the image was resampled to a right-angled grid.",)
    geometry = Geometry.from_affine(array.shape, affine)
    return StoredImage(array, geometry, raw.scheme, raw.modality, notes, raw.channel_axis)


def is_usable(affine: Matrix, size: Size) -> bool:
    """Say whether a matrix places every voxel at its own finite position."""
    with np.errstate(all="ignore"):
        spacing = _spacing(affine)
        if not (np.isfinite(affine).all() and np.isfinite(spacing).all() and spacing.min() > 0):
            return False
        volume = abs(np.linalg.det(affine[:3, :3] / spacing))
        return bool(volume > _PARALLEL and np.isfinite(corners(affine, size)).all())


def corners(affine: Matrix, size: Size) -> Matrix:
    """Give the LPS positions of a grid's eight corner voxels, shape (8, 3)."""
    ends = np.array(list(product(*((0, n - 1) for n in size))), dtype=np.float64)
    return ends @ affine[:3, :3].T + affine[:3, 3]


def complete_slice_axis(affine: Matrix, thickness: float = 1.0) -> Matrix:
    """Give a single slice whose third axis has no length one, at right angles to the slice.

    Parameters
    ----------
    affine : ndarray
        4x4; returned as it is when its third axis has a length.
    thickness : float
        Length of the new axis.
    """
    if np.linalg.norm(affine[:3, 2]) > 0:
        return affine
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    completed = affine.copy()
    completed[:3, 2] = normal / length * thickness if length > 0 else 0.0
    return completed


def _spacing(affine: Matrix) -> Matrix:
    return np.linalg.norm(affine[:3, :3], axis=0)


def _skew(affine: Matrix) -> float:
    cosines = affine[:3, :3] / _spacing(affine)
    return float(np.abs(cosines.T @ cosines - np.eye(3)).max())


def _straightened(affine: Matrix, size: Size) -> Matrix:
    """Turn the axes to the nearest right-angled ones around the centre of the grid."""
    spacing = _spacing(affine)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    straight = affine.copy()
    straight[:3, :3] = left @ right * spacing
    centre = (np.asarray(size) - 1) / 2
    straight[:3, 3] += (affine[:3, :3] - straight[:3, :3]) @ centre
    return straight


def _corner_distance(one: Matrix, other: Matrix, size: Size) -> float:
    return float(np.linalg.norm(corners(one, size) - corners(other, size), axis=1).max())


def _resampled(raw: RawImage, path: Path, *, linear: bool) -> tuple[NDArray[np.generic], Matrix]:
    """Resample to axes at right angles that keep x, and the plane of x and y.

    For a tilted gantry this shifts each slice within its own plane and mixes no slices.
    """
    from scipy import ndimage

    rotation, upper = np.linalg.qr(raw.affine[:3, :3])
    sign = np.sign(np.diag(upper))
    rotation, upper = rotation * sign, upper * sign[:, None]
    spacing = np.diag(upper)
    ends = corners(np.block([[upper, np.zeros((3, 1))], [np.zeros(3), 1.0]]), raw.size)
    low = ends.min(axis=0)
    size = np.floor((ends.max(axis=0) - low) / spacing + 1e-4).astype(np.int64) + 1
    if np.prod(size, dtype=np.float64) > _MOST_GROWTH * np.prod(raw.size, dtype=np.float64):
        raise FormatError(
            f"{path} is sheared too far to resample; export it with the tilt corrected."
        )
    inverse = np.linalg.inv(upper)
    # Rounding error must not put the last slice just outside of the image.
    matrix = np.round(inverse * spacing, 12)[::-1, ::-1]
    offset = np.round(inverse @ low, 9)[::-1]
    outside = np.fmin.reduce(raw.array, axis=None) if linear else 0
    array = np.stack(
        [
            ndimage.affine_transform(
                channel,
                matrix,
                offset=offset,
                output_shape=tuple(size[::-1]),
                order=1 if linear else 0,
                cval=outside,
            )
            for channel in raw.array
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = raw.affine[:3, 3] + rotation @ low
    return array, affine


def _spacing_notes(affine: Matrix) -> tuple[str, ...]:
    spacing = _spacing(affine)
    low, high = _USUAL_SPACING_MM
    if low <= spacing.min() and spacing.max() <= high:
        return ()
    stated = " × ".join(f"{s:.3g}" for s in spacing)
    return (f"The voxels are {stated} mm, which is unusual: check the unit.",)
