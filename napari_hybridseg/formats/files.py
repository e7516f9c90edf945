"""Files themselves: is it there, is it a file, is it what it seems."""

from __future__ import annotations

import stat
from pathlib import Path

from napari_hybridseg.formats.stored import FormatError

GZIP_MAGIC = b"\x1f\x8b"
_LFS_POINTER = b"version https://git-lfs"


def check_readable(path: Path) -> None:
    """Refuse a path that is no whole, ordinary file.

    Raises
    ------
    FormatError
        If it is missing, a folder, a device, empty, or a Git LFS pointer.
    """
    try:
        info = path.stat()
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be opened"
        raise FormatError(f"{path} {reason}; check the name and the folder.") from error
    if stat.S_ISDIR(info.st_mode):
        raise FormatError(f"{path} is a folder; choose one image file in it.")
    if not stat.S_ISREG(info.st_mode):
        raise FormatError(f"{path} is not an ordinary file; choose an image file.")
    if info.st_size == 0:
        raise FormatError(f"{path} is empty (0 bytes); copy or export it again.")
    if starts_with(path, _LFS_POINTER):
        raise FormatError(
            f"{path} is a Git LFS pointer, not the image itself; run 'git lfs pull' to fetch it."
        )


def starts_with(path: Path, magic: bytes) -> bool:
    """Say whether a file's first bytes are ``magic``."""
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
