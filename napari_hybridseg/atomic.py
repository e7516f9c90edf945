"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_hybridseg.errors import HybridSegError


class WriteError(HybridSegError):
    """A file that could not be written."""


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; put it in place when all went well.

    The temporary file keeps ``path``'s name as its ending, so writers that look at the
    extension work. On any failure it is removed and ``path`` stays as it was.

    Raises
    ------
    WriteError
        If the folder is missing or not writable, the disk is full, or the file exists already
        and ``overwrite`` is not given.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise WriteError(f"{path} cannot be written: the folder {path.parent} does not exist.")
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=f".tmp-{path.name}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}.") from error
    temporary = Path(name)
    try:
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        _flush_to_disk(temporary)
        refuse_existing(path, overwrite)
        os.replace(temporary, path)
        _flush_to_disk(path.parent)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 text file that is either whole or not there."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if the file is there and may not be replaced."""
    if Path(path).exists() and not overwrite:
        raise WriteError(f"{path} exists already; choose another name or allow overwriting.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_to_disk(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a folder cannot be opened on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
