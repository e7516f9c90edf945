"""Images into files: whole or not at all, on exactly the grid that is given."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.atomic import atomic_path
from napari_hybridseg.formats.metaimage import write_metaimage
from napari_hybridseg.formats.nifti import write_nifti
from napari_hybridseg.formats.nrrd import write_nrrd
from napari_hybridseg.formats.segmentation_nrrd import segment_keys
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

_ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
_LARGEST_LABEL = 65535


def writable_extensions() -> tuple[str, ...]:
    """Give the endings of all files that `write_image` writes."""
    return _ENDINGS


def write_image(
    path: str | PathLike[str],
    array: NDArray[np.generic],
    geometry: Geometry,
    *,
    overwrite: bool = False,
    scheme: LabelScheme | None = None,
) -> None:
    """Write an image file; the ending of its name chooses the format.

    The file appears when it is complete. NRRD and MetaImage keep the grid to 64-bit precision,
    NIfTI (sform and qform) to 32-bit.

    Parameters
    ----------
    path : path-like
        Ends in one of `writable_extensions`.
    array : ndarray
        Shape (Z, Y, X) or (C, Z, Y, X), in the order in which it is to be stored.
    geometry : Geometry
        Its grid.
    overwrite : bool
        Whether an existing file may be replaced.
    scheme : LabelScheme or None
        Names and colours of a label map. ``.seg.nrrd`` and NIfTI hold them; the other formats
        have no place for them.

    Raises
    ------
    FormatError
        If the format cannot hold the array.
    WriteError
        If the file exists and may not be replaced, or the disk refuses. Nothing is left behind.
    """
    path = Path(path)
    ending = next((e for e in _ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise FormatError(f"{path} cannot be written: its name must end in {', '.join(_ENDINGS)}.")
    array = _storable(array, geometry, path)
    if ending == ".seg.nrrd":
        array = _as_labels(array, path)
    with atomic_path(path, overwrite=overwrite) as draft, draft.open("wb") as file:
        if ending == ".mha":
            write_metaimage(file, array, geometry)
        elif ending == ".nrrd":
            write_nrrd(file, array, geometry)
        elif ending == ".seg.nrrd":
            write_nrrd(file, array, geometry, segment_keys(array[0], geometry, scheme))
        else:
            packed = ending == ".nii.gz"
            write_nifti(file, array, geometry, scheme, packed=packed, path=path)


def _storable(array: NDArray[np.generic], geometry: Geometry, path: Path) -> NDArray[np.generic]:
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != geometry.shape or array.shape[0] < 1:
        raise FormatError(
            f"{path} cannot be written: the array's shape {array.shape} does not fit its grid "
            f"{geometry.shape}."
        )
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise FormatError(
            f"{path} cannot be written: values of type {array.dtype} have no place in the file; "
            "convert them to whole numbers or floats."
        )
    return array


def _as_labels(array: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """Give the smallest unsigned type that Slicer reads as labels."""
    if array.shape[0] != 1 or array.dtype.kind not in "iu":
        raise FormatError(
            f"{path} cannot be written: a .seg.nrrd file holds one label map of whole numbers; "
            "choose .nrrd for images."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > _LARGEST_LABEL:
        raise FormatError(
            f"{path} cannot be written: its labels run from {low} to {high} where a .seg.nrrd file "
            f"holds 0 to {_LARGEST_LABEL}; choose .nrrd or renumber them."
        )
    return array.astype(np.uint8 if high < 256 else np.uint16, copy=False)
