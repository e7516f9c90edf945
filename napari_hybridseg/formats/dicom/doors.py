"""What the common door for all image files needs to know of DICOM."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from napari_hybridseg.formats.dicom.catalogue import (
    Catalogue,
    first_header,
    looks_like_dicom,
    survey,
)
from napari_hybridseg.formats.dicom.headers import (
    SEGMENTATION,
    STRUCTURES,
    is_dicom_file,
    read_header,
)
from napari_hybridseg.formats.dicom.libraries import check_installed
from napari_hybridseg.formats.dicom.reading import read_found
from napari_hybridseg.formats.dicom.references import read_segmentation
from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import Sheared
from napari_hybridseg.formats.stored import FormatError, StoredImage

_LABELS = (SEGMENTATION, STRUCTURES)


def is_dicom(path: Path) -> bool:
    """Say whether this is a folder with DICOM files, or a DICOM file whatever its name."""
    return (path.is_dir() or path.is_file()) and looks_like_dicom(path)


def read_dicom(path: Path, sheared: Sheared = "refuse") -> StoredImage:
    """Read a folder or file: a series as a volume, a segmentation or structure set as labels.

    A folder without a series but with one segmentation opens as that.

    Raises
    ------
    FormatError
        If it cannot be read truly.
    """
    if not path.is_dir():
        check_readable(path)
        if not is_dicom_file(path):
            raise FormatError(
                f"{path} is not a DICOM file, whatever its name says; open the original or export "
                "it again."
            )
    check_installed(path)
    header = read_header(path) if path.is_file() else None
    if header is not None and header.kind in _LABELS:
        return read_segmentation(path)
    found = survey(path)
    return _only_labels(path, found) or read_found(path, found, irregular=sheared)


def dicom_name(path: Path) -> str:
    """Name what a folder or file holds: the series' description, else the folder or the file.

    Signs that have no place in a file name are replaced.
    """
    header = first_header(path) if importlib.util.find_spec("pydicom") else None
    description = header.description if header is not None else ""
    kept = "".join(c if c.isalnum() or c in " ._-+" else "_" for c in description)
    return kept.strip(" ._") or (path.name if path.is_dir() else path.stem) or "dicom"


def _only_labels(path: Path, found: Catalogue) -> StoredImage | None:
    if found.series or found.flat or found.damaged or not path.is_dir():
        return None
    if len(found.labels) > 1:
        names = ", ".join(label.path.name for label in found.labels[:8])
        raise FormatError(
            f"{path} holds {len(found.labels)} segmentations and no scan; open one of {names}."
        )
    return read_segmentation(found.labels[0].path) if found.labels else None
