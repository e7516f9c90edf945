"""What the text headers of NRRD and MetaImage have in common: lines and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import Matrix
from napari_hybridseg.formats.stored import FormatError

_LONGEST_HEADER = 64 << 20


def header_lines(file: BinaryIO, path: Path) -> Iterator[str]:
    """Yield a text header's lines without their ends; binary data is refused, not swallowed.

    Raises
    ------
    FormatError
        If a header goes on for 64 MiB.
    """
    left = _LONGEST_HEADER
    while left > 0:
        line = file.readline(left)
        if not line:
            return
        left -= len(line)
        yield line.rstrip(b"\r\n").decode("utf-8", "replace")
    raise damaged(path, "its header has no end")


def numbers(text: str, count: int | None, what: str, path: Path) -> Matrix:
    """Read ``count`` numbers (any count where None) that stand between blanks, commas, brackets.

    Raises
    ------
    FormatError
        If there are others or more or fewer.
    """
    words = text.replace(",", " ").replace("(", " ").replace(")", " ").split()
    try:
        values = np.array([float(word) for word in words], dtype=np.float64)
    except ValueError:
        raise damaged(path, f"its {what} is not a set of numbers") from None
    if not len(values) or (count is not None and len(values) != count):
        raise damaged(path, f"its {what} has {len(values)} numbers instead of {count}")
    return values


def sizes(text: str, count: int | None, what: str, path: Path) -> tuple[int, ...]:
    """Read ``count`` positive whole numbers (any count where None).

    Raises
    ------
    FormatError
        If one is not.
    """
    try:
        values = tuple(int(word) for word in text.split())
    except ValueError:
        values = ()
    if not values or min(values) < 1 or (count is not None and len(values) != count):
        raise damaged(path, f"its {what} '{text[:40]}' is no size")
    return values


def data_file(name: str, header: Path) -> Path:
    """Find the file that a detached header names.

    Raises
    ------
    FormatError
        If it names several files or one that is not there.
    """
    if "%" in name or name.upper().startswith("LIST"):
        raise FormatError(
            f"{header} names several data files; save the image as one file (.nrrd or .mha)."
        )
    path = header.parent / name
    if not path.is_file():
        raise FormatError(
            f"{header} keeps its voxels in {name}, which is not beside it; copy both files into "
            "one folder."
        )
    check_readable(path)
    return path


def damaged(path: Path, reason: str) -> FormatError:
    """Make the refusal of a file whose header cannot be true."""
    return FormatError(f"{path} is damaged: {reason}; copy or export it again.")
