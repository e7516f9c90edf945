"""A file that is only ever added to, and readable up to its last whole commit.

Each record is a magic word, a kind, a length, a checksum and a payload. A save appends the parts
that changed and then a commit, and flushes once. Whatever a crash tears off at the end belongs to
a save that was never committed; reading stops there.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"HSJ1"
_RECORD = struct.Struct("<4scQI")
_LARGEST = 1 << 34

HEAD, WORKING, NETWORK, STROKES, COMMIT = b"H", b"W", b"N", b"S", b"C"


@dataclass(frozen=True)
class Record:
    """A kind, and the bytes that were stored under it."""

    kind: bytes
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return _RECORD.size + len(self.payload)


class JournalFile:
    """An open journal: appends whole saves.

    Parameters
    ----------
    path : Path
        A new file.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("xb", buffering=0)
        self.size = 0

    def append(self, records: Iterable[Record]) -> None:
        """Add records and a commit, and see them onto the disk.

        Raises
        ------
        OSError
            If the disk refuses; the file then ends with the save before.
        """
        end = self.size
        try:
            for record in (*records, Record(COMMIT, b"")):
                end += self._write(record)
            os.fsync(self._file.fileno())
        except OSError:
            self._file.seek(self.size)
            self._file.truncate()
            raise
        self.size = end

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, record: Record) -> int:
        checksum = zlib.crc32(record.kind + record.payload)
        head = _RECORD.pack(_MAGIC, record.kind, len(record.payload), checksum)
        content = memoryview(head + record.payload)
        while content:
            content = content[self._file.write(content) :]
        return record.size


def committed_records(path: Path) -> Iterator[Record]:
    """Read a journal's records, each save's only if it was committed.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    pending: list[Record] = []
    with path.open("rb") as file:
        while (record := _read(file)) is not None:
            if record.kind != COMMIT:
                pending.append(record)
                continue
            yield from pending
            pending = []


def _read(file: BinaryIO) -> Record | None:
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return None
    magic, kind, length, checksum = _RECORD.unpack(head)
    if magic != _MAGIC or length > _LARGEST:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(kind + payload) != checksum:
        return None
    return Record(kind, payload)
