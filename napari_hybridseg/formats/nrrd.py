"""NRRD and NHDR: read exactly, written with 17 digits so that a grid comes back as it was."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import RawImage
from napari_hybridseg.formats.header_text import data_file, sizes
from napari_hybridseg.formats.nrrd_header import NrrdHeader, read_header
from napari_hybridseg.formats.nrrd_volumes import channel_axis, kind_of_volumes
from napari_hybridseg.formats.segmentation_nrrd import has_segments, read_segments
from napari_hybridseg.formats.slabs import COMPRESSION, slabs
from napari_hybridseg.formats.stored import ChannelAxis, FormatError, volumes_note
from napari_hybridseg.formats.voxels import VoxelBlock, read_voxels
from napari_hybridseg.geometry import Geometry

_TYPE_NAMES = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip


def read_nrrd(path: Path) -> RawImage:
    """Read an NRRD file as it is stored; axes that do not run through space become channels.

    A segmentation (``.seg.nrrd``) becomes one label map with its scheme.

    Raises
    ------
    FormatError
        If the file is not NRRD, damaged, cut short, or of a kind that cannot be read.
    """
    check_readable(path)
    header = read_header(path)
    affine, notes = header.position()
    flat, voxel_notes = read_voxels(_block(header))
    array, axis, axis_notes = _channels_first(flat, header)
    modality = header.keys.get("DICOM_0008_0060", header.keys.get("0008|0060", "")).strip()
    every = (*notes, *voxel_notes, *axis_notes)
    raw = RawImage(array, affine, None, modality, every, axis)
    if not has_segments(header.keys):
        return raw
    labels, scheme, segment_notes = read_segments(array, header.keys)
    # Layers of a segmentation are merged: what was said of channels no longer holds.
    kept = segment_notes if scheme is None else (*notes, *voxel_notes, *segment_notes)
    return replace(raw, array=labels, scheme=scheme, notes=kept)


def write_nrrd(
    file: BinaryIO,
    array: NDArray[np.generic],
    geometry: Geometry,
    keys: Mapping[str, str] | None = None,
) -> None:
    """Write a gzip-encoded NRRD file in LPS; channels are the last axis.

    Parameters
    ----------
    file : BinaryIO
        Where to.
    array : ndarray
        Shape (C, Z, Y, X).
    geometry : Geometry
        Its grid.
    keys : mapping, optional
        ``key:=value`` pairs, e.g. those of a segmentation.
    """
    columns = geometry.affine[:3, :3].T
    directions = [_vector(column) for column in columns]
    shape = [*geometry.size]
    kinds = ["domain"] * 3
    if array.shape[0] > 1:
        directions.append("none")
        shape.append(array.shape[0])
        kinds.append("list")
    code = array.dtype.str[1:]
    lines = [
        "NRRD0004",
        f"type: {_TYPE_NAMES[code]}",
        f"dimension: {len(shape)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, shape))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        *(["endian: little"] if code[1] != "1" else []),
        "encoding: gzip",
        f"space origin: {_vector(geometry.origin)}",
        *(f"{key}:={_escaped(value)}" for key, value in (keys or {}).items()),
    ]
    file.write(("\n".join(lines) + "\n\n").encode())
    with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as stream:
        for slab in slabs(array):
            stream.write(slab)


def _block(header: NrrdHeader) -> VoxelBlock:
    name = header.fields.get("data file", header.fields.get("datafile"))
    path = header.path if name is None else data_file(name, header.path)
    start = header.end if name is None else 0
    if header.fields.get("line skip", "0") not in ("0", "-1"):
        raise FormatError(
            f"{header.path} skips lines of text before its voxels, which is not read here; save it "
            "as one .nrrd file."
        )
    count = int(np.prod(header.sizes, dtype=object))
    block = VoxelBlock(path, header.dtype, count, start, header.packed)
    skip = header.fields.get("byte skip", header.fields.get("byteskip", "0"))
    if skip == "-1" and not block.packed:
        # The voxels are the end of the file, whatever comes before them.
        return replace(block, start=max(start, path.stat().st_size - block.size))
    if skip != "0":
        return replace(block, skip=sizes(skip, 1, "byte skip", header.path)[0])
    return block


def _channels_first(
    flat: NDArray[np.generic], header: NrrdHeader
) -> tuple[NDArray[np.generic], ChannelAxis, tuple[str, ...]]:
    extents = header.sizes
    spatial = header.spatial_axes
    others = [axis for axis in range(len(extents)) if axis not in spatial]
    wide = [axis for axis in others if extents[axis] > 1]
    if len(wide) > 1:
        raise FormatError(
            f"{header.path} has several axes that do not run through space; save one volume on its "
            "own."
        )
    if kind_of_volumes(header) == "complex":
        raise FormatError(
            f"{header.path} holds complex numbers, which are no image here; save its magnitude as "
            "ordinary numbers."
        )
    last = len(extents) - 1
    order = [last - axis for axis in (*others, *spatial[::-1])]
    turned = flat.reshape(extents[::-1]).transpose(order)
    x, y, z = ([extents[axis] for axis in spatial] + [1])[:3]
    array = np.ascontiguousarray(turned).reshape(-1, z, y, x)
    if not wide:
        return array, ChannelAxis(), ()
    axis, notes = channel_axis(header)
    return array, axis, (volumes_note(len(array), axis), *notes)


def _vector(values: NDArray[np.float64] | tuple[float, ...]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "")
