"""The DICOM libraries: are they there, and their complaints in one sentence.

pydicom, highdicom and the decoders are an extra of this package, so they are imported inside the
functions that need them.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from napari_hybridseg.formats.header_text import damaged
from napari_hybridseg.formats.stored import FormatError

if TYPE_CHECKING:
    from pydicom import FileDataset

INSTALL = 'pip install "napari-hybridseg[dicom]"'

_UNDEFINED_LENGTH = 0xFFFFFFFF

# What pydicom, highdicom and the decoders were seen to raise on files with wrong bytes.
_BUILT_IN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    sqlite3.Error,
    struct.error,
    zlib.error,
)


def check_installed(path: Path) -> None:
    """Raise one sentence with the command to run if the DICOM libraries are missing.

    Raises
    ------
    FormatError
        If pydicom or highdicom cannot be imported.
    """
    missing = [n for n in ("pydicom", "highdicom") if importlib.util.find_spec(n) is None]
    if missing:
        raise FormatError(
            f"{path} is DICOM, and {' and '.join(missing)} must be installed to read it; run: "
            f"{INSTALL}."
        )


@contextmanager
def parsing(path: Path, reason: str) -> Iterator[None]:
    """Turn what a library raises on a damaged file into the refusal of that file.

    The libraries' warnings are silenced: what matters of them is checked and told as a note.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        The part of the sentence that says what cannot be true, e.g. ``its header cannot be read``.

    Raises
    ------
    FormatError
        If anything in the block failed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _library_errors() as error:
        raise damaged(path, reason) from error
    except OSError as error:
        raise FormatError(
            f"{path} could not be read ({error.strerror or error}); check the disk and your "
            "permissions."
        ) from error


def _library_errors() -> tuple[type[Exception], ...]:
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (*_BUILT_IN_ERRORS, BytesLengthException, InvalidDicomError)


def open_dataset(path: Path) -> FileDataset:
    """Read a file with pydicom, without believing the lengths that it states.

    A plain file would set aside the 4 GB that a damaged length asks for; a mapped one gives what
    is there.

    Parameters
    ----------
    path : Path
        The file, not empty.
    """
    from pydicom import dcmread

    with _mapped(path) as mapped:
        return dcmread(cast("BinaryIO", mapped), force=True)


def open_header(path: Path) -> tuple[FileDataset, bool]:
    """Read a file up to its pixels, as `open_dataset` does; say too whether pixels follow.

    A file that was cut between two elements shows it by nothing else.
    """
    from pydicom import dcmread
    from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated

    with _mapped(path) as mapped:
        dataset = dcmread(cast("BinaryIO", mapped), stop_before_pixels=True, force=True)
        # A deflated file is unpacked to its end, and shows a cut by that.
        is_packed = dataset.file_meta.get("TransferSyntaxUID") == Deflated
        return dataset, is_packed or mapped.tell() < mapped.size()


@contextmanager
def _mapped(path: Path) -> Iterator[mmap]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
        yield mapped


def read_whole(path: Path) -> FileDataset:
    """Read a file to its end, which pydicom does not mind missing.

    Raises
    ------
    FormatError
        If it is damaged, or ends in the middle of an element.
    """
    from pydicom import uid

    with (
        parsing(path, "it cannot be read to its end"),
        warnings.catch_warnings(record=True) as heard,
    ):
        warnings.simplefilter("always")
        dataset = open_dataset(path)
        short = is_short(dataset)
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit = dataset.original_encoding[0]
            dataset.file_meta.TransferSyntaxUID = (
                uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
            )
    if short or any("end of file" in str(warning.message).lower() for warning in heard):
        raise FormatError(f"{path} is cut short: its end is missing; copy or export it again.")
    return dataset


def is_short(dataset: FileDataset) -> bool:
    """Say whether an element holds less than it states: the file ends in it."""
    from pydicom.dataelem import RawDataElement

    return any(
        isinstance(element, RawDataElement)
        and element.length != _UNDEFINED_LENGTH
        and len(element.value or b"") != element.length
        for element in map(dataset.get_item, dataset.keys())
    )
