"""A simulated user who corrects a label map stroke by stroke, by one rule for every way to correct.

One stroke is one drag of a round brush in one slice. The user looks for the error that is largest
in any slice of the three views, and drags along its middle: the longest way through its skeleton,
as scribbles are simulated in studies of interactive segmentation, and no longer than a hand
draws at once. The brush has one size for the whole stroke, the one with which this drag does the
most good: in wider places some error is left, in narrower ones the brush goes beyond it, and the
user has to come back for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

LONGEST_MM = 30.0
WIDEST_MM = 10.0

Labels = NDArray[np.uint8]
Spacing = tuple[float, float, float]

_CROSS = ndimage.generate_binary_structure(2, 1)
_IN_PLANE = [
    np.moveaxis(np.insert(np.zeros((2, 3, 3), bool), 1, _CROSS, axis=0), 0, axis)
    for axis in range(3)
]
_ASIDE = ((0.0, 0.0), (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5))


@dataclass(frozen=True)
class Stroke:
    """What the user draws.

    Attributes
    ----------
    voxels : ndarray
        Shape (N, 3), Z, Y, X: what the brush covers, all in one slice.
    line : ndarray
        Shape (L, 3): its way.
    error : ndarray
        Shape (M, 3): the whole error in that slice.
    truth, shown : int
        What the error should be, and what it is.
    """

    voxels: NDArray[np.int64]
    line: NDArray[np.int64]
    error: NDArray[np.int64]
    truth: int
    shown: int


def next_stroke(labels: Labels, reference: Labels, spacing: Spacing) -> Stroke:
    """Draw on the error that is largest in any slice of any view.

    Parameters
    ----------
    labels, reference : ndarray
        Shape (Z, Y, X); they differ somewhere.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    """
    axis, error, truth, shown = _largest(labels, reference, spacing)
    others = [a for a in range(3) if a != axis]
    low = error.min(axis=0)
    plane = np.zeros((error.max(axis=0) - low + 1)[others] + 2, bool)  # with a rim of no error
    plane[tuple((error - low)[:, others].T + 1)] = True
    in_plane = (spacing[others[0]], spacing[others[1]])
    way = _longest_way(np.argwhere(skeletonize(plane)), in_plane)
    line, voxels = (
        np.insert(flat - 1, axis, 0, axis=1) + low for flat in (way, _brushed(plane, way, in_plane))
    )
    inside = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
    return Stroke(voxels[inside], line, error, truth, shown)


def _largest(
    labels: Labels, reference: Labels, spacing: Spacing
) -> tuple[int, NDArray[np.int64], int, int]:
    """Give the view, the voxels and the two labels of the error with the largest area."""
    wrong = np.argwhere(labels != reference)
    start, stop = wrong.min(axis=0), wrong.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    truths, showns = reference[box], labels[box]
    at = tuple(wrong.T)
    pairs = {(int(t), int(s)) for t, s in zip(reference[at], labels[at], strict=True)}
    best: tuple[float, int, NDArray[np.bool_], int, int] | None = None
    for truth, shown in sorted(pairs):
        error = (truths == truth) & (showns == shown)
        for axis in range(3):
            parts, _ = ndimage.label(error, structure=_IN_PLANE[axis])
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            area = float(sizes.max() * np.prod(spacing) / spacing[axis])
            if best is None or area > best[0]:
                best = area, axis, parts == sizes.argmax(), truth, shown
    assert best is not None
    _, axis, error, truth, shown = best
    return axis, np.argwhere(error) + start, truth, shown


def _brushed(
    plane: NDArray[np.bool_], line: NDArray[np.int64], spacing: tuple[float, float]
) -> NDArray[np.int64]:
    """Give the pixels (N, 2) under the best brush that is dragged along a line in a shape."""
    way = line * np.array(spacing)
    pixels = np.argwhere(np.ones_like(plane))
    gained = np.where(plane.ravel(), 1, -1)
    step = min(spacing) / 2
    best, covered = 0, np.zeros(len(pixels), bool)
    for aside in _ASIDE:  # a brush of an even number of pixels goes between them
        away, _ = cKDTree(way + np.array(aside) * spacing).query(pixels * np.array(spacing))
        for radius in np.arange(0, WIDEST_MM, step) + step / 2:
            under = away <= radius
            good = int(gained[under].sum())
            if good > best:
                best, covered = good, under
    return pixels[covered]


def _longest_way(line: NDArray[np.int64], spacing: tuple[float, float]) -> NDArray[np.int64]:
    """Follow a skeleton's pixels (N, 2) from end to end, and keep the middle of a long way."""
    if len(line) == 1:
        return line
    pairs = cKDTree(line).query_pairs(1.5, output_type="ndarray")
    steps = np.linalg.norm((line[pairs[:, 0]] - line[pairs[:, 1]]) * spacing, axis=1)
    graph = csr_array((steps, pairs.T), shape=(len(line), len(line)))
    away = dijkstra(graph, directed=False, indices=0)
    one_end = int(np.where(np.isfinite(away), away, -1).argmax())
    away, before = dijkstra(graph, directed=False, indices=one_end, return_predecessors=True)
    place = int(np.where(np.isfinite(away), away, -1).argmax())
    middle, way = away[place] / 2, []
    while place >= 0:
        if abs(away[place] - middle) <= LONGEST_MM / 2:
            way.append(place)
        place = int(before[place])
    return line[way]
