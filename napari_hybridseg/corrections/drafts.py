"""Hidden folders in which a case is written before it gets its place in a set."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_hybridseg.atomic import WriteError, atomic_path
from napari_hybridseg.corrections.locking import is_running

_DRAFT = ".draft-"


def make_folder(folder: Path) -> None:
    """Make the set's folder.

    Raises
    ------
    WriteError
        If the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {folder} cannot be made: {error.strerror}.") from error


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to write to; it is gone afterwards, under that name at least."""
    draft = folder / _draft_name()
    try:
        draft.mkdir()
        yield draft
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def take_place(draft: Path, target: Path) -> None:
    """Give a finished draft its name; what has that name already is put aside."""
    if target.exists():  # of a writer that was killed before it listed it, or copied by hand
        target.rename(target.with_name(f".unlisted-{target.name}-{secrets.token_hex(4)}"))
    draft.rename(target)
    flush(target.parent)


def delete(case: Path) -> None:
    """Delete a case's folder; half of one never stands under a case's name."""
    with suppress(OSError):
        gone = case.with_name(_draft_name())
        case.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _draft_name() -> str:
    return f"{_DRAFT}{os.getpid()}-{secrets.token_hex(4)}-{_host()}"


def _host() -> str:
    return "".join(c if c.isalnum() else "-" for c in socket.gethostname())


def _is_abandoned(draft: Path) -> bool:
    pid, _, rest = draft.name.removeprefix(_DRAFT).partition("-")
    _, _, host = rest.partition("-")
    if host != _host() or not pid.isdigit():
        return False
    return is_running(int(pid), socket.gethostname()) is False


def clear_abandoned(folder: Path) -> None:
    """Delete the drafts of writers that died."""
    for draft in folder.glob(f"{_DRAFT}*"):
        if _is_abandoned(draft):
            shutil.rmtree(draft, ignore_errors=True)


def flush(folder: Path) -> None:
    """Flush a folder's list of names to the disk; Windows knows no such thing."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes, overwrite: bool = False) -> None:
    """Write a whole file or none."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
