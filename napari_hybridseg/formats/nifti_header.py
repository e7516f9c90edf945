"""The header of a NIfTI-1 or NIfTI-2 file: 348 or 540 bytes, in either byte order.

Fields and codes as in the NIfTI standard (nifti1.h, nifti2.h; https://nifti.nimh.nih.gov).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.grids import Size
from napari_hybridseg.formats.stored import ChannelAxis, FormatError

NIFTI1 = np.dtype(
    [
        ("sizeof_hdr", "<i4"),
        ("unused1", "V35"),
        ("dim_info", "u1"),
        ("dim", "<i2", 8),
        ("intent_p", "<f4", 3),
        ("intent_code", "<i2"),
        ("datatype", "<i2"),
        ("bitpix", "<i2"),
        ("slice_start", "<i2"),
        ("pixdim", "<f4", 8),
        ("vox_offset", "<f4"),
        ("scl_slope", "<f4"),
        ("scl_inter", "<f4"),
        ("unused2", "V3"),
        ("xyzt_units", "u1"),
        ("unused3", "V24"),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "<i2"),
        ("sform_code", "<i2"),
        ("quatern", "<f4", 3),
        ("qoffset", "<f4", 3),
        ("srow", "<f4", (3, 4)),
        ("intent_name", "S16"),
        ("magic", "S4"),
    ]
)

NIFTI2 = np.dtype(
    [
        ("sizeof_hdr", "<i4"),
        ("magic", "S8"),
        ("datatype", "<i2"),
        ("bitpix", "<i2"),
        ("dim", "<i8", 8),
        ("intent_p", "<f8", 3),
        ("pixdim", "<f8", 8),
        ("vox_offset", "<i8"),
        ("scl_slope", "<f8"),
        ("scl_inter", "<f8"),
        ("unused1", "V48"),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "<i4"),
        ("sform_code", "<i4"),
        ("quatern", "<f8", 3),
        ("qoffset", "<f8", 3),
        ("srow", "<f8", (3, 4)),
        ("slice_code", "<i4"),
        ("xyzt_units", "<i4"),
        ("intent_code", "<i4"),
        ("intent_name", "S16"),
        ("dim_info", "u1"),
        ("unused2", "V15"),
    ]
)

LARGEST_HEADER = NIFTI2.itemsize
_MAGICS = {NIFTI1: (b"n+1", b"ni1"), NIFTI2: (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}

DATATYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
_COLOURS = {128: 3, 2304: 4}
_REFUSED = {
    1: "single bits", 32: "complex numbers", 1536: "128-bit numbers", 1792: "complex numbers",
    2048: "complex numbers",
}  # fmt: skip
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says about voxels and their positions.

    Attributes
    ----------
    fields : numpy.void
        The header itself, field by field (`NIFTI1` or `NIFTI2`).
    single_file : bool
        Whether the voxels follow in the same file (else they are in the ``.img``).
    size : tuple of int
        Voxels along (x, y, z); 1 where the file has no such axis.
    channels : int
        Voxels along the fourth or fifth axis.
    dtype : numpy.dtype
        One element, with its byte order.
    components : int
        Elements of one voxel: 3 or 4 for colours, else 1.
    """

    fields: np.void
    single_file: bool
    size: Size
    channels: int
    dtype: np.dtype
    components: int

    @property
    def first_voxel(self) -> int:
        """Byte of the unpacked file at which the voxels begin."""
        stated = int(self.fields["vox_offset"])
        return stated or (self.fields.dtype.itemsize + 4 if self.single_file else 0)

    @property
    def millimetres_per_unit(self) -> float:
        """How long the file's unit of length is; an unknown unit is taken as a millimetre."""
        return _MILLIMETRES.get(int(self.fields["xyzt_units"]) & 7, 1.0)

    @property
    def channel_axis(self) -> ChannelAxis:
        """What the volumes are: the fifth axis holds vectors, the fourth may hold time points."""
        if self.components > 1:
            return ChannelAxis("colours")
        second = _SECONDS.get(int(self.fields["xyzt_units"]) & 56)
        step = float(self.fields["pixdim"][4])
        if self.channels == 1 or self.fields["dim"][4] == 1:
            return ChannelAxis("channels")
        # ITK writes '1 s' into every file, whatever its fourth axis is.
        if second is None or not np.isfinite(step) or step <= 0 or step * second == 1:
            return ChannelAxis()
        return ChannelAxis("time", step * second)

    @property
    def pixdim(self) -> NDArray[np.float64]:
        """Voxel sizes as stated, along (x, y, z)."""
        return self.fields["pixdim"][1:4].astype(np.float64)


def parse_header(raw: bytes, path: Path) -> NiftiHeader:
    """Read a header from the first bytes of an (unpacked) file.

    Raises
    ------
    FormatError
        If this is no NIfTI header, a damaged one, or one of voxels that cannot be read.
    """
    fields = _fields(raw, path)
    bare = NIFTI1 if fields.dtype.itemsize == NIFTI1.itemsize else NIFTI2
    single, pair = _MAGICS[bare]
    magic = bytes(fields["magic"])
    if magic not in (single, pair):
        if not magic.strip(b"\0"):
            raise FormatError(
                f"{path} is an ANALYZE 7.5 file, which does not say where left is; convert it to "
                "NIfTI with the program that made it."
            )
        raise FormatError(f"{path} is damaged: its NIfTI mark is wrong; copy or export it again.")
    size, channels = _axes(fields, path)
    dtype, components = _element(fields, path)
    header = NiftiHeader(fields, magic == single, size, channels, dtype, components)
    offset = float(fields["vox_offset"])
    least = bare.itemsize if header.single_file else 0
    if not (np.isfinite(offset) and offset == int(offset) and (offset == 0 or offset >= least)):
        raise _damaged(path, f"its voxels cannot begin at byte {offset:g}")
    return header


def _fields(raw: bytes, path: Path) -> np.void:
    for bare in (NIFTI1, NIFTI2):
        for order in ("<", ">"):
            dtype = bare.newbyteorder(order)
            if len(raw) >= 4 and np.frombuffer(raw[:4], f"{order}i4")[0] == bare.itemsize:
                if len(raw) < bare.itemsize:
                    raise _damaged(path, "it ends within its header")
                return np.frombuffer(raw[: bare.itemsize], dtype)[0]
    raise FormatError(
        f"{path} is not a NIfTI file, whatever its name says; open the original or export it again."
    )


def _axes(fields: np.void, path: Path) -> tuple[Size, int]:
    dims = [int(n) for n in fields["dim"]]
    if not 1 <= dims[0] <= 7:
        raise _damaged(path, f"it states {dims[0]} dimensions")
    axes = dims[1 : dims[0] + 1]
    if min(axes) < 1:
        raise _damaged(path, f"it states a size of {' × '.join(map(str, axes))}")
    axes += [1] * (7 - len(axes))
    if sum(n > 1 for n in axes[3:]) > 1:
        raise FormatError(
            f"{path} has {' × '.join(map(str, axes[3:]))} volumes in several dimensions; save the "
            "volume that you want on its own."
        )
    return (axes[0], axes[1], axes[2]), int(np.prod(axes[3:], dtype=object))


def _element(fields: np.void, path: Path) -> tuple[np.dtype, int]:
    code = int(fields["datatype"])
    if code in _REFUSED:
        raise FormatError(
            f"{path} holds {_REFUSED[code]}, which are no image here; save its magnitude as "
            "ordinary numbers."
        )
    if code not in DATATYPES and code not in _COLOURS:
        raise _damaged(path, f"its data type {code} does not exist")
    order = fields.dtype["dim"].base.byteorder
    dtype = np.dtype(DATATYPES.get(code, "u1")).newbyteorder(order)
    components = _COLOURS.get(code, 1)
    bits = int(fields["bitpix"])
    if bits not in (0, dtype.itemsize * 8 * components):
        raise _damaged(path, f"its data type {code} does not have the stated {bits} bits")
    return dtype, components


def _damaged(path: Path, reason: str) -> FormatError:
    return FormatError(f"{path} is damaged: {reason}; copy or export it again.")
