"""The block of voxels in a file, read exactly: all of it, or a refusal.

All formats here keep their voxels as one plain or zlib-packed block whose length the header
tells. Libraries trust that header: SimpleITK 2.5 fills what is missing in a cut NIfTI file with
zeros. So the block is read here, by one function for all formats, which checks first that the
file can hold what its header promises.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.files import GZIP_MAGIC
from napari_hybridseg.formats.stored import FormatError

_STEP = 1 << 18
_DEFLATE_LIMIT = 1032  # RFC 1951 packs at most 258 bytes into two bits
_GZIP_OR_ZLIB = 47
_SPARE = 64 << 20


@dataclass(frozen=True)
class VoxelBlock:
    """Where a file keeps its voxels.

    Attributes
    ----------
    path : Path
        The file that holds them.
    dtype : numpy.dtype
        One element, with its byte order.
    count : int
        How many elements the header promises.
    start : int
        Byte of the file at which the (packed or plain) stream begins.
    packed : bool
        Whether the stream is gzip or zlib.
    skip : int
        Bytes of the unpacked stream before the first voxel.
    open_ended : bool
        Whether the format allows other data after the voxels.
    """

    path: Path
    dtype: np.dtype
    count: int
    start: int = 0
    packed: bool = False
    skip: int = 0
    open_ended: bool = False

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return self.count * self.dtype.itemsize


class Unpacker:
    """A gzip or zlib stream, unpacked step by step so that nothing is allocated on trust."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._engine = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._packed = b""

    @property
    def whole(self) -> bool:
        """Whether the end of the stream was seen and its checksum was right."""
        return self._engine.eof

    def pieces(self, limit: int) -> Iterator[bytes]:
        """Yield up to ``limit`` unpacked bytes in pieces; fewer where the stream ends.

        Raises
        ------
        FormatError
            If the packed data or its checksum is wrong.
        """
        left = limit
        while left > 0:
            piece = self._piece(min(left, _STEP))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def read(self, limit: int) -> bytes:
        """Give up to ``limit`` unpacked bytes."""
        return b"".join(self.pieces(limit))

    def _piece(self, limit: int) -> bytes:
        while not self._engine.eof or self._next_member():
            packed = self._packed or self._file.read(_STEP)
            try:
                piece = self._engine.decompress(packed, limit)
            except zlib.error as error:
                raise FormatError(
                    f"{self._path} is damaged: its compressed data cannot be unpacked; copy or "
                    "export it again."
                ) from error
            self._packed = self._engine.unconsumed_tail
            if piece or not packed:
                return piece
        return b""

    def _next_member(self) -> bool:
        """Go on to the next gzip stream, which tools that pack in parallel append to the first."""
        rest = self._engine.unused_data
        if len(rest) < len(GZIP_MAGIC):
            rest += self._file.read(_STEP)
        if not rest.startswith(GZIP_MAGIC):
            return False
        self._engine = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._packed = rest
        return True


def read_voxels(block: VoxelBlock) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Read a block of voxels.

    Returns
    -------
    array : ndarray
        One dimension, ``block.count`` elements, in the machine's byte order.
    notes : tuple of str
        What was odd but harmless: bytes too many, a missing checksum.

    Raises
    ------
    FormatError
        If the file holds fewer voxels than its header promises, or its packed data is damaged.
    """
    available = block.path.stat().st_size - block.start
    if available * (_DEFLATE_LIMIT if block.packed else 1) < block.size + block.skip:
        raise _too_short(block, None if block.packed else max(0, available - block.skip))
    data = np.empty(block.size, dtype=np.uint8)
    with block.path.open("rb") as file:
        file.seek(block.start)
        read = _read_packed if block.packed else _read_plain
        notes = read(block, file, data.data)
    array = data.view(block.dtype)
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array, notes


def _read_plain(block: VoxelBlock, file: BinaryIO, out: memoryview) -> tuple[str, ...]:
    file.seek(block.skip, 1)
    got = file.readinto(out)  # type: ignore[attr-defined]
    if got < block.size:
        raise _too_short(block, got)
    position = file.tell()
    return _spare(block, file.seek(0, 2) - position)


def _read_packed(block: VoxelBlock, file: BinaryIO, out: memoryview) -> tuple[str, ...]:
    stream = Unpacker(block.path, file)
    skipped = sum(map(len, stream.pieces(block.skip)))
    filled = 0
    for piece in stream.pieces(block.size):
        out[filled : filled + len(piece)] = piece
        filled += len(piece)
    if skipped < block.skip or filled < block.size:
        raise _too_short(block, filled)
    spare = sum(map(len, stream.pieces(block.size + _SPARE)))
    if not stream.whole:
        return (
            "The last bytes of the compressed file are missing: all voxels are there, but their "
            "checksum could not be checked.",
        )
    return _spare(block, spare)


def _spare(block: VoxelBlock, spare: int) -> tuple[str, ...]:
    if spare == 0 or block.open_ended:
        return ()
    return (f"The file holds {spare:,} bytes more than its header accounts for.",)


def _too_short(block: VoxelBlock, got: int | None) -> FormatError:
    found = "far fewer" if got is None else f"{got:,}"
    return FormatError(
        f"{block.path} is cut short: its header promises {block.size:,} bytes of voxels and it "
        f"holds {found}; copy or export it again."
    )
