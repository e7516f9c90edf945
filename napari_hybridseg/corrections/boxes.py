"""Boxes of voxels: what a tool changed, and where it has to look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.older_python import zip

Labels = NDArray[np.unsignedinteger]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Change:
    """New labels for a box: one undo step of a viewer.

    Attributes
    ----------
    start : tuple of int
        Where the box begins in the label map (Z, Y, X).
    labels : ndarray
        Its labels, shape (dz, dy, dx); empty where nothing changed.
    voxels : int
        How many labels differ from before.
    """

    start: tuple[int, int, int]
    labels: Labels
    voxels: int

    @property
    def box(self) -> Box:
        """The box as slices (Z, Y, X)."""
        z, y, x = (slice(s, s + n) for s, n in zip(self.start, self.labels.shape, strict=True))
        return z, y, x

    def apply(self, labels: Labels) -> None:
        """Write the change into a label map, in place."""
        labels[self.box] = self.labels


def change_between(
    before: Labels, after: Labels, start: tuple[int, int, int] = (0, 0, 0)
) -> Change:
    """Give the smallest box in which two arrays that begin at ``start`` differ."""
    different = before != after
    box = bounding_box(different)
    if box is None:
        return Change(start, np.zeros((0, 0, 0), after.dtype), 0)
    first = tuple(s + part.start for s, part in zip(start, box, strict=True))
    labels = np.ascontiguousarray(after[box], dtype=before.dtype)
    return Change(first, labels, int(np.count_nonzero(different[box])))


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """Give the smallest box (Z, Y, X) that holds every true voxel; None without one."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        if not places.size:
            return None
        spans.append(slice(int(places[0]), int(places[-1]) + 1))
    z, y, x = spans
    return z, y, x


def places_of(labels: Labels) -> NDArray[np.int64]:
    """Give the voxels that are not 0, shape (N, 3), in order; quick where they are few.

    It is for strokes in the array of a whole scan, which ``np.argwhere`` takes half a second for.
    """
    start, part = [0, 0, 0], labels
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(part.max(axis=others, initial=0))  # faster than any()
        if not there.size:
            return np.zeros((0, 3), np.int64)
        start[axis] = int(there[0])
        span = slice(start[axis], int(there[-1]) + 1)
        part = part[(slice(None),) * axis + (span,)]
    return (np.argwhere(part) + start).astype(np.int64, copy=False)


def grown(box: Box, margin: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Make a box larger by voxels (Z, Y, X) on every side, inside an array of ``shape``."""
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, length))
        for part, more, length in zip(box, margin, shape, strict=True)
    )
    return z, y, x


def start_of(box: Box) -> tuple[int, int, int]:
    """Give a box's first voxel."""
    return box[0].start, box[1].start, box[2].start
