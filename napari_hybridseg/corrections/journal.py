"""The working correction of one volume, kept safe on the disk while it is painted.

The label map is cut into slabs of planes of about a megabyte; a save writes the slabs that changed,
compressed, and nothing else. The network's label map is stored once, so that a restored correction
knows what was edited. Strokes that wait for a repair are stored with the labels. When superseded
parts fill most of the file, a new generation is written and takes over.
"""

from __future__ import annotations

import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.corrections.drafts import flush
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.journal_file import (
    HEAD,
    NETWORK,
    STROKES,
    WORKING,
    JournalFile,
    Record,
)
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.corrections.locking import folder_lock
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

Labels = NDArray[np.unsignedinteger]

SUFFIX = ".journal"
_SLAB_BYTES = 1 << 20
_COMPRESSION = 1
_INDEX = struct.Struct("<I")
_STROKES = (STROKES, 0)  # their place among the parts
_KEPT_FREE = 8 << 20  # superseded bytes that are never worth a new generation


class JournalHead(BaseModel):
    """What a journal is the correction of.

    Attributes
    ----------
    volume_sha256 : str
        The scan's, see `volume_sha256`.
    title : str
        What the viewer calls the volume; journals stay in the user's own folder.
    image_path : str
        Where the scan was opened from, so that it can be opened again; may be empty.
    geometry, source : Geometry
        The grid of the label map, and of the file.
    scheme : LabelScheme
        What the labels mean.
    checkpoint_path, checkpoint_sha256 : str
        The checkpoint behind the network's label map, or empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    volume_sha256: str
    title: str = ""
    image_path: str = ""
    geometry: Geometry
    source: Geometry
    scheme: LabelScheme
    dtype: str = "uint8"
    checkpoint_path: str = ""
    checkpoint_sha256: str = ""


class Journal:
    """A correction's journal, open and locked for this process.

    Parameters
    ----------
    root : Path
        The folder of all journals, see `autosave_folder`; a folder for this one is made in it.
    head : JournalHead
        What is corrected.
    working : ndarray
        The label map to start with, shape (Z, Y, X).
    network : ndarray or None
        The network's label map.
    strokes : KeptStrokes or None
        What was said of the label map by strokes.

    Raises
    ------
    WriteError
        If the disk refuses.
    CorrectionError
        If an array does not lie on the head's grid.
    """

    def __init__(
        self,
        root: Path,
        head: JournalHead,
        working: Labels,
        network: Labels | None = None,
        strokes: KeptStrokes | None = None,
    ) -> None:
        for array in (working, network):
            if array is not None and array.shape != head.geometry.shape:
                raise CorrectionError(
                    f"A label map of {array.shape} voxels does not lie on the volume's grid of "
                    f"{head.geometry.shape}."
                )
        wide = working.dtype if network is None else np.promote_types(working.dtype, network.dtype)
        self.head = head.model_copy(update={"dtype": wide.name})
        self.slab_rows = rows_of_a_slab(working.shape, wide)
        self._parts: dict[tuple[bytes, int], Record] = {}
        self._digests: dict[int, int] = {}
        self._generation = 0
        self._stack = ExitStack()
        self.folder = root / secrets.token_hex(8)
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            self._stack.enter_context(folder_lock(self.folder, wait_s=1))
            self._file = JournalFile(self._path())
            if network is not None:
                for index in range(self.slab_count):
                    self._keep(NETWORK, index, network)
            for index in range(self.slab_count):
                self._digests[index] = self._keep(WORKING, index, working)
            if strokes is not None and len(strokes.strokes):
                self._parts[_STROKES] = Record(STROKES, strokes.to_bytes())
            self._file.append(self._everything())
            flush(self.folder)
            flush(root)
        except OSError as error:
            self._stack.close()
            raise _write_error(self.folder, error) from error

    @property
    def slab_count(self) -> int:
        """Into how many slabs the label map is cut."""
        return -(-self.head.geometry.shape[0] // self.slab_rows)

    def slabs_of(self, first: int, stop: int) -> range:
        """Give the slabs that hold the planes from ``first`` up to ``stop``."""
        return range(max(first, 0) // self.slab_rows, -(-max(stop, 0) // self.slab_rows))

    def save(
        self,
        working: Labels,
        slabs: Iterator[int] | range | set[int] | None = None,
        strokes: KeptStrokes | None = None,
    ) -> int:
        """Write what changed, whole or not at all; give the number of parts written.

        Parameters
        ----------
        working : ndarray
            The label map as it is now, shape (Z, Y, X).
        slabs : iterable of int, optional
            Where to look for changes; everywhere when it is not given.
        strokes : KeptStrokes, optional
            The strokes as they are now; those of the last save hold when they are not given.

        Raises
        ------
        WriteError
            If the disk refuses; the last save still holds, and this one may be tried again.
        CorrectionError
            If the label map is no longer of the kind that the journal was begun with.
        """
        if working.shape != self.head.geometry.shape or working.dtype.itemsize > self._itemsize:
            raise CorrectionError(
                "The label map changed its size or the kind of its numbers, so it was not saved; "
                "begin its autosave anew."
            )
        records: dict[tuple[bytes, int], Record] = {}
        digests: dict[int, int] = {}
        for index in range(self.slab_count) if slabs is None else sorted(set(slabs)):
            voxels = self._slab(working, index)
            digest = zlib.crc32(voxels)
            if digest != self._digests[index]:
                records[(WORKING, index)] = _record(WORKING, index, voxels)
                digests[index] = digest
        if strokes is not None and self._differ(strokes):
            records[_STROKES] = Record(STROKES, strokes.to_bytes())
        if not records:
            return 0
        try:
            self._file.append(records.values())
        except OSError as error:
            raise _write_error(self.folder, error) from error
        self._parts.update(records)
        self._digests.update(digests)
        self._shrink()
        return len(records)

    def rename_labels(self, scheme: LabelScheme) -> None:
        """Store another label scheme, e.g. with a new organ.

        Raises
        ------
        WriteError
            If the disk refuses.
        """
        self.head = self.head.model_copy(update={"scheme": scheme})
        try:
            self._file.append([self._head_record()])
        except OSError as error:
            raise _write_error(self.folder, error) from error

    def close(self) -> None:
        """Let go of the journal; it is offered back at the next start."""
        self._file.close()
        self._stack.close()

    def discard(self) -> None:
        """Delete the journal: its correction was accepted, or is not wanted."""
        self.close()
        delete_journal(self.folder)

    @property
    def bytes_on_disk(self) -> int:
        """The size of the file."""
        return self._file.size

    def _shrink(self) -> None:
        live = sum(record.size for record in self._parts.values())
        if self._file.size <= 2 * live + _KEPT_FREE:
            return
        old = self._file
        self._generation += 1
        try:
            new = JournalFile(self._path())
            new.append(self._everything())
            flush(self.folder)
        except OSError:  # the old generation is whole and goes on
            with suppress(OSError):
                self._path().unlink()
            return
        self._file = new
        old.close()
        with suppress(OSError):
            old.path.unlink()

    def _everything(self) -> list[Record]:
        return [self._head_record(), *self._parts.values()]

    def _differ(self, strokes: KeptStrokes) -> bool:
        """Whether strokes are others than those of the last save."""
        last = self._parts.get(_STROKES)
        if last is None:
            return len(strokes.strokes) > 0
        return last.payload != strokes.to_bytes()

    def _head_record(self) -> Record:
        return Record(HEAD, self.head.model_dump_json().encode())

    def _keep(self, kind: bytes, index: int, array: Labels) -> int:
        voxels = self._slab(array, index)
        self._parts[(kind, index)] = _record(kind, index, voxels)
        return zlib.crc32(voxels)

    def _slab(self, array: Labels, index: int) -> bytes:
        rows = array[index * self.slab_rows : (index + 1) * self.slab_rows]
        return np.ascontiguousarray(rows, dtype=self.head.dtype).tobytes()

    @property
    def _itemsize(self) -> int:
        return np.dtype(self.head.dtype).itemsize

    def _path(self) -> Path:
        return self.folder / f"{self._generation:06d}{SUFFIX}"


def rows_of_a_slab(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Give the planes of a slab, from an array's shape (Z, Y, X) and type alone."""
    plane = shape[1] * shape[2] * dtype.itemsize
    return max(1, _SLAB_BYTES // max(plane, 1))


def unpack(record: Record) -> tuple[int, bytes]:
    """Give a slab's index and its voxels."""
    (index,) = _INDEX.unpack_from(record.payload)
    return index, zlib.decompress(record.payload[_INDEX.size :])


def delete_journal(folder: Path) -> None:
    """Delete a journal's folder, its files first by generation."""
    for path in sorted(folder.glob("*")):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        os.rmdir(folder)


def _record(kind: bytes, index: int, voxels: bytes) -> Record:
    return Record(kind, _INDEX.pack(index) + zlib.compress(voxels, _COMPRESSION))


def _write_error(folder: Path, error: OSError) -> WriteError:
    return WriteError(
        f"The correction could not be saved in {folder} ({error.strerror or error}); make room on "
        "the disk, or accept the case into a set elsewhere."
    )
