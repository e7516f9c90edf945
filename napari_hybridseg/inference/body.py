"""Where the body is in a scan, found on a coarse copy of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference.grids import Box
from napari_hybridseg.older_python import zip

AIR_HU = -500.0

_COARSE = 96  # voxels along an axis that are looked at
_MARGIN_MM = 10.0
_LEAST_PART = 0.02  # of the largest component: smaller ones are noise or things lying about


def body_box(array: NDArray[Any], grid: Geometry, *, is_ct: bool) -> Box | None:
    """Find the box of the body, with a margin.

    Every few voxels one is looked at; those above air are grouped, and groups that are not
    small against the largest count.

    Parameters
    ----------
    array : ndarray
        The scan as it was read, (C, Z, Y, X).
    grid : Geometry
        Its grid.
    is_ct : bool
        Whether its values are Hounsfield units: air is then what lies below -500. Otherwise air
        is what lies below half of Otsu's threshold, counted from the lowest value.

    Returns
    -------
    tuple of slice, or None
        The box (Z, Y, X); None if nothing stands out.
    """
    from scipy import ndimage  # half of what opening the panel would cost

    steps = [max(n // _COARSE, 1) for n in grid.shape]
    coarse = array[(slice(None), *(slice(None, None, step) for step in steps))]
    found = np.zeros(coarse.shape[1:], dtype=bool)
    for channel in coarse:
        found |= channel > (AIR_HU if is_ct else _air_below(channel))
    groups, count = ndimage.label(found)
    if count == 0:
        return None
    sizes = np.bincount(groups.ravel())[1:]
    boxes = ndimage.find_objects(groups)
    kept = [box for box, size in zip(boxes, sizes, strict=True) if size >= _LEAST_PART * max(sizes)]
    parts = []
    for axis, (step, spacing, n) in enumerate(
        zip(steps, grid.spacing_zyx, grid.shape, strict=True)
    ):
        margin = step + round(_MARGIN_MM / spacing)
        low = min(box[axis].start for box in kept) * step - margin
        high = (max(box[axis].stop for box in kept) - 1) * step + 1 + margin
        parts.append(slice(max(low, 0), min(high, n)))
    z, y, x = parts
    return z, y, x


def _air_below(channel: NDArray[Any]) -> float:
    from skimage.filters import threshold_otsu

    values = channel[np.isfinite(channel)]
    if values.size == 0 or values.min() == values.max():
        return float("inf")
    low = float(values.min())
    return low + (float(threshold_otsu(values)) - low) / 2
