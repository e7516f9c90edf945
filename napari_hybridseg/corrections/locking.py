"""One writer at a time, also where two viewers use one folder.

The lock is the operating system's, so it falls when its holder dies, however that happens. What
the file says (process and computer) is for the sentence that the other viewer shows, and for
shared drives whose locks do not reach other computers.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from napari_hybridseg.corrections.errors import CorrectionError

LOCK_FILE = ".lock"
_POLL_S = 0.02
_FOREIGN_STALE_S = 600.0  # a set is locked for seconds only


class LockedError(CorrectionError):
    """Somebody else is writing."""


@contextmanager
def folder_lock(folder: Path, wait_s: float = 10.0) -> Iterator[None]:
    """Be the only writer in a folder for a while.

    Parameters
    ----------
    folder : Path
        Must exist; the file ``.lock`` in it is the lock and stays there.
    wait_s : float
        How long to wait for another writer.

    Raises
    ------
    LockedError
        If it is still locked then; the sentence names the holder.
    CorrectionError
        If no file can be made in the folder.
    """
    path = folder / LOCK_FILE
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise CorrectionError(f"{folder} cannot be written: {error.strerror}.") from error
    with file:
        _wait_for(file, path, wait_s)
        try:
            _say_holder(file, {"pid": os.getpid(), "host": socket.gethostname()})
            yield
        finally:
            _say_holder(file, None)
            _unlock(file)


def is_running(pid: int, host: str) -> bool | None:
    """Say whether a process runs; None for one of another computer, of which nothing is known."""
    if host != socket.gethostname():
        return None
    if os.name == "nt":
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_running_on_windows(pid: int) -> bool:
    import ctypes

    kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x1000, False, pid)  # may ask about it, no more
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == 259  # still active


def _wait_for(file: IO[str], path: Path, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        if _try_lock(file):
            foreign = _foreign_holder(file)
            if foreign is None:
                return
            _unlock(file)
        else:
            foreign = None
        if time.monotonic() >= end:
            raise LockedError(_sentence(path, file, foreign))
        time.sleep(_POLL_S)


def _foreign_holder(file: IO[str]) -> dict[str, Any] | None:
    """Give the holder on another computer, whose lock this system may not see."""
    holder = _holder(file)
    if not holder or holder.get("host") == socket.gethostname():
        return None
    age = time.time() - os.fstat(file.fileno()).st_mtime
    return holder if age < _FOREIGN_STALE_S else None


def _holder(file: IO[str]) -> dict[str, Any]:
    try:
        file.seek(0)
        content = json.loads(file.read() or "{}")
    except (OSError, ValueError):  # Windows does not let a locked file be read
        return {}
    return content if isinstance(content, dict) else {}


def _say_holder(file: IO[str], holder: dict[str, Any] | None) -> None:
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(holder) if holder else "")
        file.flush()
    except OSError:  # a full disk: the lock itself holds all the same
        return


def _sentence(path: Path, file: IO[str], foreign: dict[str, Any] | None) -> str:
    holder = foreign or _holder(file)
    who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= {*holder} else ""
    advice = f"; if that computer is off, delete {path}" if foreign else "; try again in a moment"
    return (
        f"{path.parent} is being written by {who or 'another program'}, so nothing was "
        f"changed{advice}."
    )


if os.name == "nt":
    import msvcrt

    _PLACE = 1 << 30  # behind the text, which others may then read

    def _try_lock(file: IO[str]) -> bool:
        file.seek(_PLACE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _unlock(file: IO[str]) -> None:
        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a shared drive without locks: what the file says must do
            return not _holder(file) or _foreign_holder(file) is None
        return True

    def _unlock(file: IO[str]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:  # a shared drive without locks
            return
