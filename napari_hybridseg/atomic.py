"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_hybridseg.errors import HybridSegError

_LONGEST_ENDING = 100


class WriteError(HybridSegError):
    """A file that could not be written."""


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; put it in place when all went well.

    The temporary file is hidden and keeps ``path``'s name as its ending, so writers that look at
    the extension work. On any failure it is removed and ``path`` stays as it was. A symbolic
    link is written through, not replaced.

    Raises
    ------
    WriteError
        If the folder is missing or not writable, the disk is full, or the file exists already
        and ``overwrite`` is not given.
    """
    refuse_existing(path, overwrite)
    temporary: Path | None = None
    try:
        target = Path(path).resolve()
        if not target.parent.is_dir():
            raise WriteError(f"{path} cannot be written: the folder {path.parent} does not exist.")
        ending = target.name[-_LONGEST_ENDING:]
        temporary = target.with_name(f".{secrets.token_hex(6)}.tmp-{ending}")
        temporary.touch(exist_ok=False)
        yield temporary
        _flush_to_disk(temporary)
        _put_in_place(temporary, target, overwrite)
        _flush_to_disk(target.parent)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 text file that is either whole or not there."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if the file is there and may not be replaced."""
    if not overwrite and os.path.exists(path):
        raise WriteError(f"{path} exists already; choose another name or allow overwriting.")


def refuse_unwritable(path: Path, overwrite: bool) -> None:
    """Raise if ``path`` could not be written later: ask before long work, not after it.

    Raises
    ------
    WriteError
        If the file is there and may not be replaced, or a new one cannot be made in its folder.
    """
    refuse_existing(path, overwrite)
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if not target.parent.is_dir():
            raise FileNotFoundError(None, f"the folder {Path(path).parent} does not exist")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}.") from error


def _put_in_place(temporary: Path, target: Path, overwrite: bool) -> None:
    """Give the file its name; without ``overwrite`` one that another program just made stays."""
    if not overwrite:
        try:
            os.link(temporary, target)
        except OSError:  # the file exists by now, or the file system knows no links
            refuse_existing(target, overwrite)
        else:
            return
    os.replace(temporary, target)


def _flush_to_disk(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a folder cannot be opened on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
