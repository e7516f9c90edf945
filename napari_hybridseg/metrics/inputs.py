"""Check what is to be scored, and bring it into the two forms that the loops know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.older_python import zip

LARGEST_LABEL = 65535


class ScoreError(HybridSegError):
    """Two label maps that cannot be scored against each other."""


def checked_pair(
    prediction: ArrayLike, reference: ArrayLike
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Give two label maps as read-only C-order arrays of one type, uint8 or uint16.

    An array that is one already is not copied.

    Raises
    ------
    ScoreError
        If they are not (Z, Y, X), differ in shape, are empty, or hold something that is no
        label number from 0 to 65535.
    """
    a, b = _as_labels(prediction, "prediction"), _as_labels(reference, "reference")
    if a.shape != b.shape:
        raise ScoreError(
            f"The prediction has {a.shape} voxels and the reference {b.shape}; "
            "bring them onto the same grid first."
        )
    if a.dtype != b.dtype:
        both = np.uint8 if max(a.max(), b.max()) <= 255 else np.uint16
        a, b = a.astype(both, copy=False), b.astype(both, copy=False)
    # A read-only array is another type to numba: one form, compiled once, also for memory maps.
    a, b = a.view(), b.view()
    a.flags.writeable = b.flags.writeable = False
    return a, b


def checked_spacing(spacing: Sequence[float]) -> tuple[float, float, float]:
    """Give the spacing (Z, Y, X) in millimetres as three floats.

    Raises
    ------
    ScoreError
        If it is not three positive, finite numbers.
    """
    try:
        z, y, x = (float(value) for value in spacing)
    except (TypeError, ValueError) as error:
        raise ScoreError(
            f"The spacing {spacing!r} is not three numbers (Z, Y, X) in mm."
        ) from error
    if not (np.isfinite((z, y, x)).all() and min(z, y, x) > 0):
        raise ScoreError(f"The spacing {(z, y, x)} mm is not positive; correct it in the file.")
    return z, y, x


def checked_tolerance(tolerance_mm: float) -> float:
    """Give the tolerance of NSD.

    Raises
    ------
    ScoreError
        If it is not a finite number from 0 up.
    """
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise ScoreError(f"The tolerance {tolerance_mm} mm is not a length; give 0 or more.")
    return float(tolerance_mm)


def label_names(labels: Sequence[int] | Mapping[int, str]) -> dict[int, str]:
    """Give number to name, in the order given; labels without a name get their number's.

    Raises
    ------
    ScoreError
        If one is no label number from 1 to 65535.
    """
    try:
        if isinstance(labels, Mapping):
            names = {index(label): str(name) for label, name in labels.items()}
        else:
            names = {index(label): f"label {label}" for label in labels}
    except TypeError as error:
        raise ScoreError(f"The labels {labels!r} are not whole numbers.") from error
    for label in names:
        if not 1 <= label <= LARGEST_LABEL:
            raise ScoreError(
                f"Label {label} cannot be scored; 0 is background and 1 to {LARGEST_LABEL} "
                "are possible."
            )
    return names


def _as_labels(values: ArrayLike, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 3 or array.size == 0:
        raise ScoreError(
            f"The {what} has the shape {array.shape}; a label map (Z, Y, X) with voxels is needed "
            "(a picture has Z = 1)."
        )
    if array.dtype.kind not in "buif":
        raise ScoreError(f"The {what} holds {array.dtype} values, which are no label numbers.")
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype not in (np.uint8, np.uint16):
        array = _as_unsigned(array, what)
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


def _as_unsigned(array: NDArray[Any], what: str) -> NDArray[Any]:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= LARGEST_LABEL):
        raise ScoreError(
            f"The {what} has values from {low} to {high}; labels are 0 to {LARGEST_LABEL}."
        )
    compact = np.dtype(np.uint8 if high <= 255 else np.uint16)
    if array.dtype.kind == "i" and array.dtype.itemsize <= 2 and array.dtype.isnative:
        return array.view(f"u{array.dtype.itemsize}")
    labels = array.astype(compact)
    if array.dtype.kind == "f" and any(
        not np.array_equal(whole, plane) for whole, plane in zip(labels, array, strict=True)
    ):
        raise ScoreError(f"The {what} holds fractions, so it is an image and no label map.")
    return labels
