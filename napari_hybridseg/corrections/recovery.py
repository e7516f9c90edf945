"""Corrections that a viewer left behind when it died, and the way to get them back."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_dir
from pydantic import ValidationError

from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.journal import (
    SUFFIX,
    JournalHead,
    delete_journal,
    rows_of_a_slab,
    unpack,
)
from napari_hybridseg.corrections.journal_file import (
    HEAD,
    NETWORK,
    STROKES,
    WORKING,
    committed_records,
)
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.corrections.locking import LockedError, folder_lock
from napari_hybridseg.volume import LabelMap

_BEGINNING_S = 60.0


@dataclass(frozen=True)
class Restored:
    """A correction as it was last saved.

    Attributes
    ----------
    head : JournalHead
        What it is the correction of.
    label : LabelMap
        The working correction.
    network_label : LabelMap or None
        What the network had said.
    strokes : KeptStrokes
        What strokes said of it, and whether a repair obeyed them.
    """

    head: JournalHead
    label: LabelMap
    network_label: LabelMap | None
    strokes: KeptStrokes


@dataclass(frozen=True)
class Recoverable:
    """A journal that no running viewer holds.

    Attributes
    ----------
    folder : Path
        Where it is.
    head : JournalHead
        What it is the correction of.
    saved : float
        When it was last saved, in seconds since 1970.
    bytes : int
        What it takes on the disk.
    """

    folder: Path
    head: JournalHead
    saved: float
    bytes: int

    def load(self) -> Restored:
        """Read the correction; the journal stays until `discard`.

        Raises
        ------
        CorrectionError
            If it is gone or damaged.
        """
        return _restore(_newest(self.folder))

    def discard(self) -> None:
        """Delete it for good; best after the restored correction has a journal of its own."""
        delete_journal(self.folder)


def autosave_folder() -> Path:
    """Give the user's folder of journals; it may not exist yet."""
    return Path(user_data_dir("napari-hybridseg")) / "autosave"


def list_recoverable(root: Path) -> tuple[Recoverable, ...]:
    """List what can be offered back, newest first.

    Journals that a running viewer holds are left out, and those that never got as far as their
    first save are deleted.
    """
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir():
            continue
        with suppress(LockedError, CorrectionError, OSError), folder_lock(folder, wait_s=0):
            entry = _look_at(folder)
            if entry is not None:
                found.append(entry)
    return tuple(sorted(found, key=lambda entry: entry.saved, reverse=True))


def _look_at(folder: Path) -> Recoverable | None:
    try:
        path = _newest(folder)
    except CorrectionError:
        # one that is being begun at this moment is empty, too
        if time.time() - folder.stat().st_mtime > _BEGINNING_S and not _has_bytes(folder):
            delete_journal(folder)
        return None
    status = path.stat()
    return Recoverable(folder, _head(path), status.st_mtime, status.st_size)


def _has_bytes(folder: Path) -> bool:
    """Say whether somebody's work may be in there after all, unreadable as it is."""
    return any(any(True for _ in committed_records(p)) for p in folder.glob(f"*{SUFFIX}"))


def _newest(folder: Path) -> Path:
    """Give the file of the last generation that was committed."""
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        with suppress(CorrectionError, OSError):
            _head(path)
            return path
    raise CorrectionError(f"{folder} holds no saved correction that can be read.")


def _head(path: Path) -> JournalHead:
    for record in committed_records(path):
        if record.kind == HEAD:
            try:
                return JournalHead.model_validate_json(record.payload)
            except ValidationError as error:
                raise CorrectionError(
                    f"{path} was written by another version of HybridSeg; open it with that."
                ) from error
    raise CorrectionError(f"{path} holds no saved correction.")


def _restore(path: Path) -> Restored:
    head = _head(path)
    try:
        dtype = np.dtype(head.dtype)
        working = np.zeros(head.geometry.shape, dtype)
        network: NDArray[np.unsignedinteger] | None = None
        strokes = KeptStrokes.none()
        rows = rows_of_a_slab(working.shape, dtype)
        for record in committed_records(path):
            if record.kind == HEAD:
                head = JournalHead.model_validate_json(record.payload)
                continue
            if record.kind == STROKES:
                strokes = KeptStrokes.from_bytes(record.payload, working.shape)
                continue
            if record.kind == NETWORK and network is None:
                network = np.zeros_like(working)
            target = working if record.kind == WORKING else network
            if target is None:
                continue
            index, voxels = unpack(record)
            place = target[index * rows : (index + 1) * rows]
            place[...] = np.frombuffer(voxels, dtype).reshape(place.shape)
    except (OSError, ValueError, TypeError) as error:
        raise CorrectionError(f"{path} cannot be read as a correction ({error}).") from error
    label = LabelMap(head.geometry, head.source, working, head.scheme, f"{head.title} correction")
    if network is None:
        return Restored(head, label, None, strokes)
    said = LabelMap(head.geometry, head.source, network, head.scheme, f"{head.title} network")
    return Restored(head, label, said, strokes)
