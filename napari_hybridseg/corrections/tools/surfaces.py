"""Tools on an organ's surface: holes and roughness."""

from __future__ import annotations

import numpy as np

from napari_hybridseg.corrections.boxes import Box, Change, Labels, grown
from napari_hybridseg.corrections.tools.scope import (
    VOLUME,
    Scope,
    Spacing,
    box_of_label,
    changed,
    neighbours,
    nothing,
)

_REACH = 3.0  # standard deviations of a bell that count
_LEVELS = (0.3, 0.7)


def fill_holes(labels: Labels, label: int, scope: Scope = VOLUME) -> Change:
    """Fill background that an organ encloses; in a slice, what it encloses in that slice.

    Parameters
    ----------
    labels : ndarray
        Shape (Z, Y, X).
    label : int
        The organ.
    scope : Scope
        The whole label map, or a slice.
    """
    from scipy import ndimage  # slow to import, and opening a panel needs none of it

    box = box_of_label(labels, label, scope)
    if box is None:
        return nothing(labels)
    part = labels[box]
    # other organs are no background, so a hole may be bounded by them; what they fill stays
    if scope.axis is None:
        filled = ndimage.binary_fill_holes(part == label, structure=neighbours(scope))
    else:
        plane = ndimage.binary_fill_holes((part == label).squeeze(scope.axis))
        filled = np.expand_dims(plane, scope.axis)
    return changed(labels, box, np.where(filled & (part == 0), label, part).astype(part.dtype))


def smooth(
    labels: Labels, label: int, width_mm: float, spacing: Spacing, scope: Scope = VOLUME
) -> Change:
    """Smooth an organ's surface: bumps and dents narrower than about ``width_mm`` go.

    The organ is blurred by a bell of half that standard deviation, in millimetres along every
    axis, and cut at the level that keeps its volume as nearly as levels from 0.3 to 0.7 can. Other
    organs are not written over.
    """
    from scipy import ndimage

    found = box_of_label(labels, label, scope)
    if found is None or width_mm <= 0:
        return nothing(labels)
    sigma = [
        width_mm / 2 / edge if axis in scope.flat else 0.0 for axis, edge in enumerate(spacing)
    ]
    box = _with_room(found, sigma, labels.shape, scope)
    part = labels[box]
    inside = part == label
    blurred = ndimage.gaussian_filter(
        inside.astype(np.float32), sigma, truncate=_REACH, mode="nearest"
    )
    free = inside | (part == 0)
    after = np.where(inside, 0, part).astype(part.dtype)
    after[free & (blurred > _level(blurred[free], int(inside.sum())))] = label
    return changed(labels, box, after)


def _level(values: np.ndarray, count: int) -> float:
    if count >= values.size:
        return _LEVELS[0]
    level = float(np.partition(values, values.size - count - 1)[values.size - count - 1])
    return min(max(level, _LEVELS[0]), _LEVELS[1])


def _with_room(box: Box, sigma: list[float], shape: tuple[int, ...], scope: Scope) -> Box:
    z, y, x = (int(np.ceil(_REACH * s)) + 1 if s else 0 for s in sigma)
    return grown(box, (z, y, x), shape)
