"""MetaImage: ``.mha``, and ``.mhd`` with its data file.

Tags as in MetaIO's documentation (https://itk.org/Wiki/MetaIO/Documentation). Positions are LPS,
as ITK has them; row i of TransformMatrix is the direction of axis i.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import Matrix, RawImage
from napari_hybridseg.formats.header_text import damaged, data_file, header_lines, numbers, sizes
from napari_hybridseg.formats.slabs import COMPRESSION, slabs
from napari_hybridseg.formats.stored import UNSTATED, ChannelAxis, FormatError, volumes_note
from napari_hybridseg.formats.voxels import VoxelBlock, read_voxels
from napari_hybridseg.geometry import Geometry

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {code: name for name, code in _TYPES.items() if name not in ("MET_LONG", "MET_ULONG")}
_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_US": "US", "MET_MOD_NM": "NM"}
_SIZE_DIGITS = 16


@dataclass(frozen=True)
class MetaHeader:
    """A MetaImage header: its tags (in lower case) and where it ends."""

    path: Path
    tags: dict[str, str]
    end: int

    def first(self, *names: str) -> str | None:
        """Give the value of the first of several tags that is there."""
        return next((self.tags[name] for name in names if name in self.tags), None)

    def is_true(self, *names: str) -> bool:
        """Say whether the first of several tags that is there says yes."""
        return (self.first(*names) or "false").lower() in ("true", "1", "yes")

    def needed(self, name: str) -> str:
        """Give a tag's value; a header without it is refused."""
        if name not in self.tags:
            raise damaged(self.path, f"its header does not state {name}")
        return self.tags[name]

    @property
    def axes(self) -> tuple[int, ...]:
        """Voxels along each axis, fastest first."""
        count = sizes(self.needed("ndims"), 1, "NDims", self.path)[0]
        axes = sizes(self.needed("dimsize"), count, "DimSize", self.path)
        if not 2 <= count <= 4:
            raise FormatError(
                f"{self.path} has {count} dimensions where an image has two to four; save the "
                "volume on its own."
            )
        return axes

    @property
    def dtype(self) -> np.dtype:
        """One number, with its byte order."""
        stated = self.needed("elementtype").upper()
        if stated not in _TYPES:
            raise FormatError(
                f"{self.path} holds elements of type '{stated[:40]}', which are no image here; "
                "save it as ordinary numbers."
            )
        big = self.is_true("binarydatabyteordermsb", "elementbyteordermsb")
        return np.dtype(_TYPES[stated]).newbyteorder(">" if big else "<")

    @property
    def components(self) -> int:
        """Numbers of one voxel."""
        stated = self.tags.get("elementnumberofchannels", "1")
        return sizes(stated, 1, "ElementNumberOfChannels", self.path)[0]

    def position(self) -> tuple[Matrix, tuple[str, ...]]:
        """Give the 4x4 matrix from (x, y, z) index to LPS millimetres, and what was odd."""
        count = len(self.axes)
        notes = []
        spacing = self.first("elementspacing", "elementsize")
        steps = np.ones(count)
        if spacing is None:
            notes.append("The file does not say how large a voxel is; 1 mm was assumed.")
        else:
            steps = numbers(spacing, count, "ElementSpacing", self.path)
        turn = self.first("transformmatrix", "rotation", "orientation")
        cosines = np.eye(count)
        if turn is None:
            notes.append("The file states no orientation: left could be right.")
        else:
            cosines = numbers(turn, count * count, "TransformMatrix", self.path)
            cosines = cosines.reshape(count, count).T
        place = self.first("offset", "position", "origin")
        affine = np.eye(4)
        used = min(count, 3)
        affine[:used, :used] = (cosines * steps)[:used, :used]
        if place is not None:
            affine[:used, 3] = numbers(place, count, "Offset", self.path)[:used]
        return affine, tuple(notes)


def read_metaimage(path: Path) -> RawImage:
    """Read a MetaImage file as it is stored; components or the fourth axis become channels.

    Raises
    ------
    FormatError
        If the file is no MetaImage, damaged, cut short, or of a kind that cannot be read.
    """
    check_readable(path)
    header = _read_header(path)
    axes, components = header.axes, header.components
    volumes = axes[3] if len(axes) == 4 else 1
    if volumes > 1 and components > 1:
        raise FormatError(
            f"{path} has {volumes} volumes of {components} channels each; save one volume on its "
            "own."
        )
    affine, notes = header.position()
    flat, voxel_notes = read_voxels(_block(header))
    x, y, z = (*axes, 1)[:3]
    voxels = flat.reshape(volumes, z, y, x, components)
    array = np.moveaxis(voxels, -1, 1).reshape(-1, z, y, x)
    if volumes > 1:
        notes += (volumes_note(volumes, UNSTATED),)
    if components > 1:
        notes += (f"The {components} values of each voxel became channels.",)
    modality = _MODALITIES.get(header.tags.get("modality", "").upper(), "")
    axis = ChannelAxis("channels" if components > 1 else "unstated")
    notes += voxel_notes
    return RawImage(np.ascontiguousarray(array), affine, None, modality, notes, axis)


def write_metaimage(file: BinaryIO, array: NDArray[np.generic], geometry: Geometry) -> None:
    """Write a compressed MetaImage file; a voxel's channels stand together.

    Parameters
    ----------
    file : BinaryIO
        Where to; it must be seekable.
    array : ndarray
        Shape (C, Z, Y, X).
    geometry : Geometry
        Its grid.
    """
    tags = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": "0" * _SIZE_DIGITS,
        "TransformMatrix": _words(geometry.direction_matrix.T.ravel()),
        "Offset": _words(geometry.origin),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _words(geometry.spacing),
        "DimSize": " ".join(map(str, geometry.size)),
        "ElementNumberOfChannels": str(array.shape[0]),
        "ElementType": _NAMES[array.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    if array.shape[0] == 1:
        del tags["ElementNumberOfChannels"]
    head = "".join(f"{name} = {value}\n" for name, value in tags.items())
    file.write(head.encode())
    engine = zlib.compressobj(COMPRESSION)
    packed = 0
    for slab in slabs(array, interleaved=True):
        packed += file.write(engine.compress(slab))
    packed += file.write(engine.flush())
    # The packed size stands before the data and is known only after it.
    file.seek(head.index("0" * _SIZE_DIGITS))
    file.write(f"{packed:0{_SIZE_DIGITS}d}".encode())


def _read_header(path: Path) -> MetaHeader:
    tags: dict[str, str] = {}
    with path.open("rb") as file:
        for line in header_lines(file, path):
            name, equals, value = line.partition("=")
            if not equals:
                break
            tags[name.strip().lower()] = value.strip()
            if name.strip().lower() == "elementdatafile":
                break
        end = file.tell()
    if "ndims" not in tags and "dimsize" not in tags:
        raise FormatError(
            f"{path} is not a MetaImage file, whatever its name says; open the original or export "
            "it again."
        )
    if tags.get("objecttype", "Image").lower() != "image":
        raise FormatError(f"{path} holds a {tags['objecttype'][:40]}, not an image.")
    return MetaHeader(path, tags, end)


def _block(header: MetaHeader) -> VoxelBlock:
    if not header.is_true("binarydata") and "binarydata" in header.tags:
        raise FormatError(
            f"{header.path} keeps its voxels as text, which is not read here; save it as binary."
        )
    name = header.needed("elementdatafile")
    local = name.upper() == "LOCAL"
    path = header.path if local else data_file(name, header.path)
    count = int(np.prod(header.axes, dtype=object)) * header.components
    packed = header.is_true("compresseddata")
    block = VoxelBlock(path, header.dtype, count, header.end if local else 0, packed)
    _check_packed_size(header, block)
    skip = header.tags.get("headersize", "0")
    if skip == "-1":
        return replace(block, start=max(block.start, path.stat().st_size - block.size))
    if skip != "0":
        return replace(block, skip=sizes(skip, 1, "HeaderSize", header.path)[0])
    return block


def _check_packed_size(header: MetaHeader, block: VoxelBlock) -> None:
    stated = header.tags.get("compresseddatasize")
    if not block.packed or stated is None:
        return
    size = sizes(stated, 1, "CompressedDataSize", header.path)[0]
    held = block.path.stat().st_size - block.start
    if held < size:
        raise FormatError(
            f"{header.path} is cut short: its header promises {size:,} compressed bytes and it "
            f"holds {held:,}; copy or export it again."
        )


def _words(values: NDArray[np.float64] | tuple[float, ...]) -> str:
    return " ".join(repr(float(value)) for value in values)
