"""The folder through which arrays pass between the viewer and the engine.

The viewer's side owns it: private to the user (mode 0700), removed when its owner ends. A
folder whose owner was killed is removed by the next owner. Whether an owner still lives is
decided by a lock that the system drops with the process, because a process id may be another
process's by then, or that of another container's process that shares the temporary folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.engine.bits import same_bits
from napari_hybridseg.errors import HybridSegError

PREFIX = "hybridseg-"
LOCK_NAME = "owner.lock"
# between a folder's birth and its lock; nobody may take it for an orphan then
YOUNGEST_ORPHAN_S = 60.0
MAPPED_FROM_BYTES = 64 * 2**20
# from here on, looking whether a file holds an array is so much faster than its hash that it pays
COMPARED_FROM_BYTES = 2**20


class ScratchError(HybridSegError):
    """An array that could not be handed over through the temporary folder."""


class ArrayFolder:
    """Arrays as .npy files in a folder that somebody else owns.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._stored: dict[str, tuple[str, tuple[int, ...]]] = {}  # large ones: name to what it is

    def put(self, array: NDArray[Any], stem: str) -> str:
        """Store an array and give its file's name.

        Raises
        ------
        ScratchError
            If the disk is full, or the array holds Python objects.
        """
        name = f"{stem}.npy"
        unfinished = self.path / f"{stem}.part"
        try:
            with unfinished.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            unfinished.replace(self.path / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ScratchError(
                f"{array.nbytes / 1e6:.0f} MB could not be written to the temporary folder "
                f"{self.path} ({error.strerror or error}); free some space there or set TMPDIR."
            ) from error
        except ValueError as error:
            unfinished.unlink(missing_ok=True)
            raise ScratchError("An array of Python objects cannot be handed over.") from error
        return name

    def put_once(self, array: NDArray[Any]) -> str:
        """Store an array under a name made of its content, unless it is there already.

        A large array is first compared, bit by bit, with the files that may hold it: every job of
        a volume that is looked at hands it over again, and a hash would take ten times as long.
        """
        is_large = array.nbytes >= COMPARED_FROM_BYTES
        about = array.dtype.str, array.shape
        if is_large:
            self._stored = {n: a for n, a in self._stored.items() if (self.path / n).exists()}
            for name, known in self._stored.items():
                if known == about and self._holds(name, array):
                    return name
        name = self._put_by_hash(array)
        if is_large:
            self._stored[name] = about
        return name

    def _put_by_hash(self, array: NDArray[Any]) -> str:
        solid = np.ascontiguousarray(array)
        digest = hashlib.blake2b(f"{solid.dtype.str}{array.shape}".encode(), digest_size=16)
        digest.update(solid.reshape(-1).view(np.uint8).data)
        stem = f"in-{digest.hexdigest()}"
        return f"{stem}.npy" if (self.path / f"{stem}.npy").exists() else self.put(array, stem)

    def _holds(self, name: str, array: NDArray[Any]) -> bool:
        try:
            stored = np.asarray(np.load(self.path / name, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError):  # taking it says so
            return False
        return same_bits(stored, array)

    def take(self, name: str, *, remove: bool = False) -> NDArray[Any]:
        """Give the array of a file: in memory when small, else mapped copy-on-write.

        Either way it may be written to, and the file does not change.

        Raises
        ------
        ScratchError
            If there is no such file or it is damaged.
        """
        path = self.path / name
        if Path(name).name != name or not name.endswith(".npy"):
            raise ScratchError(f"{name!r} is no array in the temporary folder.")
        try:
            large = path.stat().st_size >= MAPPED_FROM_BYTES
            array = np.asarray(np.load(path, mmap_mode="c" if large else None, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise ScratchError(f"An array was lost on its way through {path} ({error}).") from error
        if remove:
            self.remove(name)
        return array

    def remove(self, pattern: str) -> None:
        """Remove the files whose names match, except those that the system still holds."""
        for path in self.path.glob(pattern):
            # Windows keeps a file that is mapped; it goes with the folder
            with contextlib.suppress(OSError):
                path.unlink()

    def names(self, pattern: str = "*.npy") -> set[str]:
        """Give the names of the files that match."""
        return {path.name for path in self.path.glob(pattern)}


class Scratch(ArrayFolder):
    """A private temporary folder that lives as long as its owner.

    Parameters
    ----------
    parent : Path or None
        Where it is made; None is the system's temporary folder.

    Raises
    ------
    ScratchError
        If it cannot be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = Path(parent or tempfile.gettempdir())
        sweep(parent)
        try:
            super().__init__(Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)))
            lock = (self.path / LOCK_NAME).open("wb")
        except OSError as error:
            raise ScratchError(
                f"No temporary folder could be made in {parent} ({error.strerror or error}); "
                "free some space there or set TMPDIR."
            ) from error
        _try_lock(lock)
        self._end = weakref.finalize(self, _remove, self.path, lock)

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        self._end()


def sweep(parent: Path) -> None:
    """Remove the scratch folders whose owners are gone."""
    for folder in parent.glob(f"{PREFIX}*-*"):
        if _is_orphan(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_orphan(folder: Path) -> bool:
    try:
        status = folder.lstat()
        mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        if not mine or time.time() - status.st_mtime < YOUNGEST_ORPHAN_S:
            return False
        with (folder / LOCK_NAME).open("r+b") as lock:
            return _try_lock(lock)
    except OSError:
        return False


def _remove(folder: Path, lock: IO[bytes]) -> None:
    lock.close()
    shutil.rmtree(folder, ignore_errors=True)


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; say whether nobody else had it locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
