"""FreeSurfer's ``.mgh`` and ``.mgz``, which SimpleITK cannot read.

Layout as in FreeSurfer's MGH format description
(https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat): a big-endian header of 284
bytes, voxels with x fastest, then optional tags.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_hybridseg.formats.files import GZIP_MAGIC, check_readable, starts_with
from napari_hybridseg.formats.grids import RAS_TO_LPS, RawImage
from napari_hybridseg.formats.header_text import damaged
from napari_hybridseg.formats.stored import UNSTATED, FormatError, volumes_note
from napari_hybridseg.formats.voxels import Unpacker, VoxelBlock, read_voxels

_HEADER = np.dtype(
    [
        ("version", ">i4"),
        ("dims", ">i4", 4),
        ("type", ">i4"),
        ("dof", ">i4"),
        ("has_position", ">i2"),
        ("spacing", ">f4", 3),
        ("axes", ">f4", (3, 3)),
        ("centre", ">f4", 3),
    ]
)
_FIRST_VOXEL = 284
_TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_DEFAULT_AXES = np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


def read_mgh(path: Path) -> RawImage:
    """Read an MGH or MGZ file as it is stored; frames become channels.

    Raises
    ------
    FormatError
        If the file is no MGH file, damaged, or cut short.
    """
    check_readable(path)
    packed = starts_with(path, GZIP_MAGIC)
    with path.open("rb") as file:
        raw = Unpacker(path, file).read(_FIRST_VOXEL) if packed else file.read(_FIRST_VOXEL)
    if len(raw) < _FIRST_VOXEL or int.from_bytes(raw[:4], "big") != 1:
        raise FormatError(
            f"{path} is not an MGH file, whatever its name says; open the original or export it "
            "again."
        )
    fields = np.frombuffer(raw[: _HEADER.itemsize], _HEADER)[0]
    x, y, z, frames = (int(n) for n in fields["dims"])
    if min(x, y, z, frames) < 1:
        raise damaged(path, f"it states a size of {x} × {y} × {z} × {frames}")
    code = int(fields["type"])
    if code not in _TYPES:
        raise damaged(path, f"its data type {code} does not exist")
    block = VoxelBlock(
        path=path,
        dtype=np.dtype(_TYPES[code]),
        count=x * y * z * frames,
        packed=packed,
        skip=_FIRST_VOXEL,
        open_ended=True,
    )
    array, notes = read_voxels(block)
    if frames > 1:
        notes += (volumes_note(frames, UNSTATED),)
    spacing, axes, centre = np.ones(3), _DEFAULT_AXES, np.zeros(3)
    if fields["has_position"] > 0:
        spacing, axes, centre = fields["spacing"], fields["axes"], fields["centre"]
    else:
        notes += ("The file states no position: FreeSurfer's usual orientation was assumed.",)
    affine = np.eye(4)
    affine[:3, :3] = axes.T.astype(np.float64) * spacing.astype(np.float64)
    affine[:3, 3] = centre - affine[:3, :3] @ (np.array([x, y, z]) / 2)
    return RawImage(array.reshape(frames, z, y, x), RAS_TO_LPS @ affine, None, "", notes)
