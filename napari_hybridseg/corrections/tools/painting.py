"""A brush that only takes on voxels of a range of values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.boxes import Change, Labels
from napari_hybridseg.corrections.tools.scope import VOLUME, Scope, Spacing, changed, nothing
from napari_hybridseg.older_python import zip


def brush(
    labels: Labels,
    image: NDArray[Any],
    at: tuple[int, int, int],
    radius_mm: float,
    label: int,
    spacing: Spacing,
    scope: Scope = VOLUME,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    over: int | None = None,
) -> Change:
    """Paint a ball, or a disc in a slice, of millimetres where the image lies in a range.

    Parameters
    ----------
    labels, image : ndarray
        Shape (Z, Y, X).
    at : tuple of int
        The middle (Z, Y, X).
    radius_mm : float
        Radius; the middle voxel is always in it.
    label : int
        What is painted; 0 erases.
    low, high : float
        The range of the image's values, both included; NaN is never in it.
    over : int, optional
        Paint only on voxels of this label, e.g. 0 to spare the other organs.
    """
    middle_in_scope = scope.box(labels.shape)
    parts = []
    for a, edge, part in zip(at, spacing, middle_in_scope, strict=True):
        reach = int(radius_mm / edge + 1e-9)
        parts.append(slice(max(a - reach, part.start), max(min(a + reach + 1, part.stop), 0)))
    box = (parts[0], parts[1], parts[2])
    before = labels[box]
    if before.size == 0:
        return nothing(labels)
    squared = sum(
        (((np.arange(p.start, p.stop) - a) * edge) ** 2).reshape(
            [-1 if i == axis else 1 for i in range(3)]
        )
        for axis, (p, a, edge) in enumerate(zip(box, at, spacing, strict=True))
    )
    inside = (squared <= radius_mm**2 + 1e-9) & (image[box] >= low) & (image[box] <= high)
    if over is not None:
        inside &= before == over
    return changed(labels, box, np.where(inside, label, before).astype(before.dtype))


def limit_to_range(
    before: Labels, after: Labels, image: NDArray[Any], low: float, high: float
) -> Labels:
    """Take a viewer's own stroke back where the image does not lie in the range.

    Parameters
    ----------
    before, after, image : ndarray
        The same box, shape (dz, dy, dx): labels before and after the stroke, and the image.
    low, high : float
        The range, both included.
    """
    allowed = (image >= low) & (image <= high)
    return np.where(allowed, after, before).astype(before.dtype)
