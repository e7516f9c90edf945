"""One door for all image files and DICOM folders: which reader, which writer, what a name means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.dicom import dicom_name, is_dicom, read_dicom
from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import RawImage, Sheared, settle
from napari_hybridseg.formats.metaimage import read_metaimage
from napari_hybridseg.formats.mgh import read_mgh
from napari_hybridseg.formats.nifti import read_nifti
from napari_hybridseg.formats.nrrd import read_nrrd
from napari_hybridseg.formats.photograph import PHOTOGRAPHS, read_photograph
from napari_hybridseg.formats.stored import FormatError, StoredImage

# The longest ending of a name decides, so '.nii.gz' stands for itself.
_READERS: Mapping[str, Callable[[Path], RawImage]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".hdr": read_nifti,
    ".hdr.gz": read_nifti,
    ".img": read_nifti,
    ".img.gz": read_nifti,
    ".nrrd": read_nrrd,
    ".seg.nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
    ".mgh": read_mgh,
    ".mgz": read_mgh,
    **dict.fromkeys(PHOTOGRAPHS, read_photograph),
}
_DICOM = ".dcm"


def supported_extensions() -> tuple[str, ...]:
    """Give the endings of all files that `read_image` opens, e.g. for a file dialog."""
    return (*_READERS, _DICOM)


def is_photograph(path: str | PathLike[str]) -> bool:
    """Say whether a file's name is that of a photograph, which any program opens."""
    return _extension(Path(path)) in PHOTOGRAPHS


def is_image_path(path: str | PathLike[str]) -> bool:
    """Say whether `read_image` opens this: by its name's ending, else by being DICOM.

    DICOM files have any name, so a file or folder with another ending is looked into.
    """
    path = Path(path)
    return _extension(path) is not None or _is_dicom(path)


def image_name(path: str | PathLike[str]) -> str:
    """Give a file's name without folder and ending: ``ct`` for ``/scans/ct.nii.gz``.

    A DICOM folder or file is named by its series' description where that has one.
    """
    path = Path(path)
    extension = _extension(path)
    if extension:
        return path.name[: -len(extension)]
    return dicom_name(path) if is_dicom(path) else path.stem


def read_image(
    path: str | PathLike[str], *, sheared: Sheared = "refuse", as_labels: bool = False
) -> StoredImage:
    """Read an image file as it is stored: its own axes, its own numbers, its own grid.

    Parameters
    ----------
    path : path-like
        NIfTI, NRRD, MetaImage, MGH, DICOM, PNG or JPEG (see `supported_extensions`), or a folder
        that holds one DICOM series. Any file of a series opens the whole series; a DICOM SEG or
        RTSTRUCT opens as a label map.
    sheared : {"refuse", "resample", "resample-nearest"}
        What to do with axes that are not at right angles, and with unevenly spaced DICOM slices:
        refuse, interpolate linearly onto a right-angled, even grid, or take the nearest voxel
        (for label maps).
    as_labels : bool
        Whether a label map is wanted: a PNG with a palette then gives its numbers instead of its
        colours, and a JPEG only black and white.

    Returns
    -------
    StoredImage
        Array (C, Z, Y, X), geometry in LPS millimetres, names of labels where the file has them,
        and notes on everything that was odd.

    Raises
    ------
    FormatError
        If the file cannot be read truly; the message is one sentence for the user.
    """
    path = Path(path)
    try:
        image = _read(path, sheared, as_labels)
    except OSError as error:
        raise FormatError(
            f"{path} could not be read ({error.strerror or error}); check the disk and your "
            "permissions."
        ) from error
    except MemoryError as error:
        raise FormatError(
            f"{path} does not fit into this computer's memory; close other programs or crop it."
        ) from error
    return replace(image, notes=image.notes + _value_notes(image.array))


def _read(path: Path, sheared: Sheared, as_labels: bool) -> StoredImage:
    extension = _extension(path)
    if path.is_dir() or (extension is None and _is_dicom(path)):
        return read_dicom(path, sheared)
    check_readable(path)
    if extension is None:
        raise FormatError(
            f"{path} is of an unknown kind; choose a DICOM folder or a file that ends in "
            f"{', '.join(supported_extensions())}."
        )
    # A damaged header may state 1e308 mm; what overflows is refused as not finite.
    with np.errstate(all="ignore"):
        if extension in PHOTOGRAPHS:
            return settle(read_photograph(path, as_labels), path, sheared)
        return settle(_READERS[extension](path), path, sheared)


def _is_dicom(path: Path) -> bool:
    return path.name.lower().endswith(_DICOM) or is_dicom(path)


def _extension(path: Path) -> str | None:
    name = path.name.lower()
    endings = [e for e in _READERS if name.endswith(e) and len(name) > len(e)]
    return max(endings, key=len, default=None)


def _value_notes(array: NDArray[np.generic]) -> tuple[str, ...]:
    if array.dtype.kind != "f":
        return ()
    with np.errstate(all="ignore"):
        # A finite sum has only finite terms: the common case costs one pass and no memory.
        if np.isfinite(array.sum(dtype=np.float64)):
            return ()
    bad = sum(int(plane.size - np.isfinite(plane).sum()) for channel in array for plane in channel)
    if bad == 0:
        return ()
    if bad == array.size:
        return ("No voxel holds a number: all are NaN or infinite.",)
    return (f"{bad:,} voxels are not numbers (NaN or infinite).",)
