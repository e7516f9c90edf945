"""NIfTI-1 and NIfTI-2: ``.nii``, ``.nii.gz``, and pairs of ``.hdr`` and ``.img``.

Read here rather than through SimpleITK 2.5, which cannot read NIfTI-2, fills cut files with
zeros, opens files whose mark is destroyed, and takes the spacing from pixdim where the sform says
otherwise.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.files import GZIP_MAGIC, check_readable, starts_with
from napari_hybridseg.formats.grids import RawImage
from napari_hybridseg.formats.label_table import read_label_table, write_label_table
from napari_hybridseg.formats.nifti_header import (
    DATATYPES,
    LARGEST_HEADER,
    NIFTI1,
    NiftiHeader,
    parse_header,
)
from napari_hybridseg.formats.nifti_position import read_position, write_position
from napari_hybridseg.formats.slabs import COMPRESSION, slabs
from napari_hybridseg.formats.stored import FormatError, volumes_note
from napari_hybridseg.formats.voxels import Unpacker, VoxelBlock, read_voxels
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

_MOST_EXTENSION = 16 << 20
_LABEL_INTENT = 1002
_CARET_CODE = 30
_LARGEST_AXIS = 32767


def read_nifti(path: Path) -> RawImage:
    """Read a NIfTI file as it is stored.

    The fourth or fifth axis, and colours, become channels. Slope and intercept are applied.

    Raises
    ------
    FormatError
        If the file is no NIfTI file, damaged, cut short, or of a kind that cannot be read.
    """
    header_path, voxel_path = _pair(path)
    for part in {header_path, voxel_path}:
        check_readable(part)
    packed = starts_with(header_path, GZIP_MAGIC)
    header = parse_header(_head(header_path, LARGEST_HEADER, packed), path)
    if header.single_file != (header_path == voxel_path):
        raise FormatError(
            f"{path} is damaged: its name and its mark disagree on whether the voxels are in the "
            "same file; copy or export it again."
        )
    affine, notes = read_position(header, path)
    array, voxel_notes = _voxels(header, voxel_path)
    array, scale_notes = _scaled(array, header, path)
    scheme, label_notes = read_label_table(_extensions(header, header_path, packed))
    notes += _name_notes(path, packed) + _channel_notes(header)
    notes += voxel_notes + scale_notes + label_notes
    return RawImage(array, affine, scheme, "", notes, header.channel_axis)


def write_nifti(
    file: BinaryIO,
    array: NDArray[np.generic],
    geometry: Geometry,
    scheme: LabelScheme | None,
    *,
    packed: bool,
    path: Path,
) -> None:
    """Write a NIfTI-1 file, position in both sform and qform, channels as the fourth axis.

    Parameters
    ----------
    file : BinaryIO
        Where to.
    array : ndarray
        Shape (C, Z, Y, X).
    geometry : Geometry
        Its grid; the format keeps positions as 32-bit floats.
    scheme : LabelScheme or None
        Written as a label table in the header's extension (as Connectome Workbench does).
    packed : bool
        Whether to gzip.
    path : Path
        The file's name, for the message.

    Raises
    ------
    FormatError
        If the volume is too large for the format.
    """
    if max(array.shape) > _LARGEST_AXIS:
        raise FormatError(
            f"{path} cannot hold {max(array.shape):,} voxels along one axis (NIfTI-1 ends at "
            f"{_LARGEST_AXIS:,}); write a .nrrd file."
        )
    extension = write_label_table(scheme) if scheme else b""
    extension = extension.ljust(-(-(len(extension) + 8) // 16) * 16 - 8) if extension else b""
    fields = np.zeros(1, NIFTI1)
    channels, z, y, x = array.shape
    fields["sizeof_hdr"] = NIFTI1.itemsize
    fields["dim"][0] = [4 if channels > 1 else 3, x, y, z, channels, 1, 1, 1]
    fields["datatype"] = {name: code for code, name in DATATYPES.items()}[array.dtype.str[1:]]
    fields["bitpix"] = array.dtype.itemsize * 8
    fields["vox_offset"] = NIFTI1.itemsize + 4 + (len(extension) + 8 if extension else 0)
    fields["scl_slope"] = 1.0
    fields["intent_code"] = _LABEL_INTENT if scheme else 0
    fields["magic"] = b"n+1"
    write_position(fields, geometry)
    head = fields.tobytes() + bytes([bool(extension), 0, 0, 0])
    if extension:
        head += np.array([len(extension) + 8, _CARET_CODE], "<i4").tobytes() + extension
    if not packed:
        _write(file, head, array)
        return
    with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as stream:
        _write(stream, head, array)  # type: ignore[arg-type]


def _write(file: BinaryIO, head: bytes, array: NDArray[np.generic]) -> None:
    file.write(head)
    for slab in slabs(array):
        file.write(slab)


def _pair(path: Path) -> tuple[Path, Path]:
    """Give the files of the header and of the voxels."""
    name = path.name
    for own, other in ((".hdr", ".img"), (".img", ".hdr")):
        for ending in (own, own + ".gz"):
            if not name.lower().endswith(ending):
                continue
            stem = name[: -len(ending)]
            names = (stem + e for e in (other, other + ".gz", other.upper()))
            partner = next((p for n in names if (p := path.with_name(n)).exists()), None)
            if partner is None:
                raise FormatError(
                    f"{path} is one half of a pair and {stem}{other} is not beside it; copy both "
                    "files into one folder."
                )
            return (path, partner) if own == ".hdr" else (partner, path)
    return path, path


def _head(path: Path, count: int, packed: bool) -> bytes:
    with path.open("rb") as file:
        return Unpacker(path, file).read(count) if packed else file.read(count)


def _voxels(header: NiftiHeader, path: Path) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    x, y, z = header.size
    block = VoxelBlock(
        path=path,
        dtype=header.dtype,
        count=x * y * z * header.channels * header.components,
        packed=starts_with(path, GZIP_MAGIC),
        skip=header.first_voxel,
    )
    flat, notes = read_voxels(block)
    voxels = flat.reshape(header.channels, z, y, x, header.components)
    channels_first = np.moveaxis(voxels, -1, 1).reshape(-1, z, y, x)
    return np.ascontiguousarray(channels_first), notes


def _scaled(
    array: NDArray[np.generic], header: NiftiHeader, path: Path
) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Apply slope and intercept; whole numbers stay whole where the result is."""
    slope, inter = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    if header.components > 1 or not np.isfinite(slope) or slope == 0 or (slope, inter) == (1, 0):
        return array, ()
    if not np.isfinite(inter):
        raise FormatError(
            f"{path} is damaged: its intensities have a slope ({slope:g}) and no intercept; copy "
            "or export it again."
        )
    notes = (f"Intensities were scaled as the file says: × {slope:g} {inter:+g}.",)
    whole = _whole_type(array.dtype, slope, inter)
    if whole is not None:
        return array.astype(whole) * whole.type(slope) + whole.type(inter), notes
    precise = array.dtype.itemsize > 4 or (array.dtype.itemsize == 4 and array.dtype.kind != "f")
    scaled = array.astype(np.float64) * slope + inter
    return scaled.astype(np.float64 if precise else np.float32, copy=False), notes


def _whole_type(dtype: np.dtype, slope: float, inter: float) -> np.dtype | None:
    """Give the smallest integer type for all scaled values, if they are integers that fit one."""
    if dtype.kind == "f" or slope != int(slope) or inter != int(inter):
        return None
    limits = np.iinfo(dtype)
    ends = sorted(int(end) * int(slope) + int(inter) for end in (limits.min, limits.max))
    for name in ("i2", "i4", "i8"):
        fits = np.iinfo(name)
        if fits.min <= min(ends[0], int(slope)) and max(ends[1], int(slope)) <= fits.max:
            return np.dtype(name)
    return None


def _extensions(header: NiftiHeader, path: Path, packed: bool) -> list[bytes]:
    """Give the contents of the header's extensions."""
    start = header.fields.dtype.itemsize
    end = header.first_voxel if header.single_file else start + _MOST_EXTENSION
    raw = _head(path, min(end, start + _MOST_EXTENSION), packed)[start:]
    found: list[bytes] = []
    if len(raw) < 4 or raw[0] == 0:
        return found
    order = header.fields.dtype["dim"].base.byteorder.replace("=", "<")
    position = 4
    while position + 8 <= len(raw):
        size = int(np.frombuffer(raw[position : position + 4], f"{order}i4")[0])
        if size < 8 or position + size > len(raw):
            break
        found.append(raw[position + 8 : position + size])
        position += size
    return found


def _name_notes(path: Path, packed: bool) -> tuple[str, ...]:
    named_packed = path.name.lower().endswith(".gz")
    if packed == named_packed:
        return ()
    state = "is" if packed else "is not"
    return (f"The file {state} gzip-compressed, whatever its name says.",)


def _channel_notes(header: NiftiHeader) -> tuple[str, ...]:
    notes = []
    if header.components > 1:
        notes.append(f"The image is in colour; its {header.components} colours became channels.")
    if header.channels > 1:
        notes.append(volumes_note(header.channels, header.channel_axis))
    return tuple(notes)
