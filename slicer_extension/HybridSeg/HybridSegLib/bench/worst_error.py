"""Finding the place to look at: an organ's middle, or where it is most wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def middle_of(mask: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Give the voxel of a mask that is nearest to its centre of mass; None if it is empty."""
    places = np.argwhere(mask)
    if not len(places):
        return None
    nearest = np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()
    k, j, i = places[nearest]
    return int(k), int(j), int(i)


def worst_error(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: tuple[float, float, float],
) -> tuple[int, int, int] | None:
    """Give the middle of the thickest disagreement of two masks; None if they agree.

    Parameters
    ----------
    prediction, reference : ndarray of bool
        Shape (K, J, I).
    spacing : tuple of float
        Millimetres along (K, J, I).
    """
    wrong = prediction ^ reference
    places = np.argwhere(wrong)
    if not len(places):
        return None
    low, high = places.min(axis=0), places.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    depth = distance_transform_edt(np.pad(wrong[box], 1), sampling=spacing)
    deepest = np.asarray(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low
    k, j, i = deepest
    return int(k), int(j), int(i)
