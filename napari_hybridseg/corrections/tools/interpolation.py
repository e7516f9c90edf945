"""Filling in between painted slices.

Shape-based interpolation (Raya and Udupa, IEEE Trans. Med. Imaging 9, 1990): each painted slice
becomes a signed distance to its outline, distances are interpolated linearly, and what is inside is
the organ. Shapes are first brought onto a common centre, so that an organ that runs obliquely
through the slices is not lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.boxes import Change, Labels
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.tools.scope import VOLUME, Spacing, changed
from napari_hybridseg.older_python import pairwise, zip


def interpolate_slices(
    labels: Labels,
    label: int,
    spacing: Spacing,
    axis: int = 0,
    painted: Sequence[int] | None = None,
    only: int | None = None,
) -> Change:
    """Fill an organ in between the slices in which it is painted.

    Parameters
    ----------
    labels : ndarray
        Shape (Z, Y, X).
    label : int
        The organ.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    axis : int
        The array axis across which the slices lie (0 is Z).
    painted : sequence of int, optional
        The slices that are right; what the organ has between them is replaced. Without it, every
        slice that holds the organ is right, and gaps are filled.
    only : int, optional
        The one slice that is filled; every one by default.

    Returns
    -------
    Change
        Background becomes the organ; other organs are not written over.

    Raises
    ------
    CorrectionError
        If fewer than two painted slices hold the organ, or ``only`` does not lie between two.
    """
    moved = np.moveaxis(labels, axis, 0)
    holding = np.flatnonzero((moved == label).any(axis=(1, 2)))
    right = holding if painted is None else np.intersect1d(holding, np.asarray(painted, int))
    if right.size < 2:
        raise CorrectionError(
            "Interpolating needs the organ painted in at least two slices of this view."
        )
    if only is not None and not right[0] <= only <= right[-1]:
        raise CorrectionError(
            f"Slice {only} does not lie between two slices in which the organ is painted."
        )
    after = moved.copy()
    edges = tuple(np.delete(np.asarray(spacing), axis))
    for low, high in pairwise(right):
        if high - low > 1:
            between = _between(moved[low] == label, moved[high] == label, int(high - low), edges)
            for offset, inside in enumerate(between, 1):
                if only not in (None, low + offset):
                    continue
                plane = after[low + offset]
                plane[plane == label] = 0
                plane[inside & (plane == 0)] = label
    return changed(labels, VOLUME.box(labels.shape), np.moveaxis(after, 0, axis))


def _between(
    first: NDArray[np.bool_], last: NDArray[np.bool_], steps: int, edges: tuple[float, ...]
) -> list[NDArray[np.bool_]]:
    from scipy import ndimage  # slow to import, and opening a panel needs none of it

    centres = [np.asarray(ndimage.center_of_mass(shape)) for shape in (first, last)]
    distances = [_signed_distance(shape, edges) for shape in (first, last)]
    planes = []
    for step in range(1, steps):
        part = step / steps
        centre = centres[0] * (1 - part) + centres[1] * part
        low, high = (
            ndimage.shift(distance, centre - own, order=1, mode="nearest")
            for distance, own in zip(distances, centres, strict=True)
        )
        planes.append(low * (1 - part) + high * part > 0)
    return planes


def _signed_distance(shape: NDArray[np.bool_], edges: tuple[float, ...]) -> NDArray[np.float64]:
    """Give millimetres to the outline, positive inside; a frame keeps the edge from counting."""
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(np.pad(shape, 1), sampling=edges)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~shape, sampling=edges)
    half = min(edges) / 2
    distance: NDArray[np.float64] = np.where(shape, inside - half, half - outside)
    return distance
