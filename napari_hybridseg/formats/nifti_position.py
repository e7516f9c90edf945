"""Where a NIfTI file says that its voxels lie: sform, qform, or neither.

The NIfTI standard gives three methods. The sform (method 3) is any affine matrix, the qform
(method 2) a rotation with spacings; with neither (method 1) only spacings are known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.grids import (
    RAS_TO_LPS,
    Matrix,
    Size,
    complete_slice_axis,
    corners,
    is_usable,
)
from napari_hybridseg.formats.nifti_header import NiftiHeader
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.geometry import Geometry

_QUATERNION_SLACK = 1e-3


def read_position(header: NiftiHeader, path: Path) -> tuple[Matrix, tuple[str, ...]]:
    """Give the 4x4 matrix from (x, y, z) index to LPS millimetres, and what was odd about it.

    The sform wins where it is usable, then the qform. A file with neither gets its spacings
    around a centre at 0, x to the patient's left as nibabel has it, and a note.

    Raises
    ------
    FormatError
        If the file has neither form and does not know the size of a voxel, or if the forms that
        it has are singular.
    """
    sform = _usable(_sform(header), header)
    qform = _usable(_qform(header), header)
    notes: list[str] = []
    if sform is not None:
        affine = sform
        if qform is not None:
            notes += _conflict(sform, qform, header)
    elif qform is not None:
        affine = qform
        if header.fields["sform_code"] > 0:
            notes.append("The sform is singular; the position was taken from the qform.")
    elif header.fields["sform_code"] > 0 or header.fields["qform_code"] > 0:
        raise FormatError(
            f"{path} states a singular position matrix (sform or qform), so its voxels lie "
            "nowhere; convert it from the original scan again."
        )
    else:
        affine = _without_forms(header, path)
        notes.append(
            "The file has neither sform nor qform: the orientation is unknown and left could be "
            "right."
        )
    unit = header.millimetres_per_unit
    if unit != 1.0:
        affine = np.diag([unit, unit, unit, 1.0]) @ affine
        name = "metres" if unit > 1 else "micrometres"
        notes.append(f"The file's lengths are in {name}; they were converted to millimetres.")
    return RAS_TO_LPS @ affine, tuple(notes)


def write_position(fields: NDArray[np.void], geometry: Geometry) -> None:
    """Fill pixdim, sform and qform of a one-element NIfTI-1 header array from a geometry."""
    from scipy.spatial.transform import Rotation

    ras = RAS_TO_LPS @ geometry.affine
    cosines = RAS_TO_LPS[:3, :3] @ geometry.direction_matrix
    handedness = 1.0 if np.linalg.det(cosines) > 0 else -1.0
    cosines[:, 2] *= handedness
    quaternion = Rotation.from_matrix(cosines).as_quat()
    fields["pixdim"][0] = [handedness, *geometry.spacing, 1, 1, 1, 1]
    fields["quatern"][0] = quaternion[:3] * (-1.0 if quaternion[3] < 0 else 1.0)
    fields["qoffset"][0] = ras[:3, 3]
    fields["srow"][0] = ras[:3]
    fields["sform_code"] = fields["qform_code"] = 1
    fields["xyzt_units"] = 2


def _sform(header: NiftiHeader) -> Matrix | None:
    if header.fields["sform_code"] <= 0:
        return None
    affine = np.eye(4)
    affine[:3] = header.fields["srow"]
    return affine


def _qform(header: NiftiHeader) -> Matrix | None:
    from scipy.spatial.transform import Rotation

    if header.fields["qform_code"] <= 0:
        return None
    b, c, d = header.fields["quatern"].astype(np.float64)
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest >= -_QUATERNION_SLACK:
        return None
    quaternion = np.array([b, c, d, np.sqrt(max(rest, 0.0))])
    handedness = -1.0 if header.fields["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_quat(quaternion).as_matrix() * np.abs(header.pixdim)
    affine[:3, 2] *= handedness
    affine[:3, 3] = header.fields["qoffset"]
    return affine


def _usable(affine: Matrix | None, header: NiftiHeader) -> Matrix | None:
    if affine is None or not np.isfinite(affine).all():
        return None
    if header.size[2] == 1:
        affine = complete_slice_axis(affine, _thickness(header))
    return affine if is_usable(affine, header.size) else None


def _thickness(header: NiftiHeader) -> float:
    stated = abs(float(header.pixdim[2]))
    return stated if np.isfinite(stated) and stated > 0 else 1.0


def _without_forms(header: NiftiHeader, path: Path) -> Matrix:
    spacing = np.abs(header.pixdim)
    if header.size[2] == 1:
        spacing[2] = _thickness(header)
    if not (np.isfinite(spacing).all() and spacing.min() > 0):
        raise FormatError(
            f"{path} says neither how large a voxel is nor where it lies (pixdim "
            f"{' × '.join(f'{s:g}' for s in header.pixdim)}, no sform, no qform); convert it from "
            "the original scan again."
        )
    steps = spacing * [-1.0, 1.0, 1.0]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.asarray(header.size) - 1) / 2
    return affine


def _conflict(sform: Matrix, qform: Matrix, header: NiftiHeader) -> list[str]:
    size: Size = header.size
    apart = np.linalg.norm(corners(sform, size) - corners(qform, size), axis=1).max()
    if apart <= 0.5 * np.linalg.norm(sform[:3, :3], axis=0).min():
        return []
    apart *= header.millimetres_per_unit
    return [
        f"The file states its position twice (sform and qform), and the two disagree by up to "
        f"{apart:.3g} mm; the sform was used."
    ]
