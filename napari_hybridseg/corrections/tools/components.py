"""Tools on connected parts: voxels that touch by their faces belong together."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.boxes import Box, Change, Labels
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.tools.scope import (
    VOLUME,
    Scope,
    Spacing,
    box_of_label,
    changed,
    neighbours,
    nothing,
)
from napari_hybridseg.older_python import zip


def keep_largest(labels: Labels, label: int, scope: Scope = VOLUME) -> Change:
    """Erase all parts of an organ but the largest; of equals the first stays.

    Parameters
    ----------
    labels : ndarray
        Shape (Z, Y, X).
    label : int
        The organ.
    scope : Scope
        The whole label map, or a slice.
    """
    found = _parts(labels, label, scope)
    if found is None:
        return nothing(labels)
    box, parts, sizes = found
    return _erase(labels, box, (parts > 0) & (parts != int(sizes.argmax()) + 1))


def remove_islands(
    labels: Labels, label: int, below_ml: float, spacing: Spacing, scope: Scope = VOLUME
) -> Change:
    """Erase the parts of an organ that are smaller than so many millilitres.

    In a slice, a part's volume is its area times the distance of slices.
    """
    found = _parts(labels, label, scope)
    if found is None:
        return nothing(labels)
    box, parts, sizes = found
    small = sizes * (float(np.prod(spacing)) / 1000.0) < below_ml
    return _erase(labels, box, np.concatenate([[False], small])[parts])


def split_component(
    labels: Labels, at: tuple[int, int, int], new_label: int, scope: Scope = VOLUME
) -> Change:
    """Give the part of an organ that a voxel belongs to another label.

    Raises
    ------
    CorrectionError
        If the voxel (Z, Y, X) is background, or outside the scope.
    """
    label = _label_at(labels, at, scope)
    found = _parts(labels, label, scope)
    assert found is not None
    box, parts, _ = found
    place = tuple(a - part.start for a, part in zip(at, box, strict=True))
    after = labels[box].copy()
    after[parts == parts[place]] = _fitting(new_label, labels)
    return changed(labels, box, after)


def split_by_plane(
    labels: Labels,
    at: tuple[int, int, int],
    normal: tuple[float, float, float],
    new_label: int,
    spacing: Spacing,
    scope: Scope = VOLUME,
) -> Change:
    """Cut the organ under a voxel by a plane through it; the side ahead gets another label.

    Parameters
    ----------
    labels : ndarray
        Shape (Z, Y, X).
    at : tuple of int
        The voxel that was clicked (Z, Y, X); it stays with the side behind.
    normal : tuple of float
        Where 'ahead' is, in millimetres along (Z, Y, X).
    new_label : int
        The label of the side ahead.

    Raises
    ------
    CorrectionError
        If the voxel is background or outside the scope, or the normal has no direction.
    """
    if not np.isfinite(normal).all() or not np.any(normal):
        raise CorrectionError("The plane has no direction; draw it anew.")
    label = _label_at(labels, at, scope)
    box = box_of_label(labels, label, scope)
    assert box is not None
    ahead = sum(
        (np.arange(part.start, part.stop) - place).reshape(
            [-1 if i == axis else 1 for i in range(3)]
        )
        * edge
        * way
        for axis, (part, place, edge, way) in enumerate(zip(box, at, spacing, normal, strict=True))
    )
    after = labels[box].copy()
    after[(after == label) & (ahead > 1e-9)] = _fitting(new_label, labels)
    return changed(labels, box, after)


def merge_labels(
    labels: Labels, merged: Collection[int], into: int, scope: Scope = VOLUME
) -> Change:
    """Give the voxels of several organs one label."""
    box = scope.box(labels.shape)
    after = labels[box].copy()
    after[np.isin(after, [*merged])] = _fitting(into, labels)
    return changed(labels, box, after)


def _parts(
    labels: Labels, label: int, scope: Scope
) -> tuple[Box, NDArray[np.int32], NDArray[np.int64]] | None:
    from scipy import ndimage  # slow to import, and opening a panel needs none of it

    box = box_of_label(labels, label, scope)
    if box is None:
        return None
    parts, count = ndimage.label(labels[box] == label, structure=neighbours(scope))
    return box, parts, np.bincount(parts.ravel(), minlength=count + 1)[1:]


def _erase(labels: Labels, box: Box, where: NDArray[np.bool_]) -> Change:
    after = labels[box].copy()
    after[where] = 0
    return changed(labels, box, after)


def _label_at(labels: Labels, at: tuple[int, int, int], scope: Scope) -> int:
    inside = all(p.start <= a < p.stop for a, p in zip(at, scope.box(labels.shape), strict=True))
    if not inside or labels[at] == 0:
        raise CorrectionError("There is no organ at that place; click into the one to be split.")
    return int(labels[at])


def _fitting(label: int, labels: Labels) -> int:
    if not 0 <= label <= np.iinfo(labels.dtype).max:
        raise CorrectionError(
            f"Label {label} does not fit into a label map of {labels.dtype} numbers; choose "
            f"one up to {np.iinfo(labels.dtype).max}."
        )
    return label
