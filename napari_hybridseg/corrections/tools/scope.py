"""Where a tool works: the whole label map, or one slice of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.boxes import Box, Change, Labels, bounding_box, change_between
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.older_python import zip

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Scope:
    """One slice across an array axis (0 is Z), or the whole label map without an axis."""

    axis: int | None = None
    index: int = 0

    def box(self, shape: tuple[int, ...]) -> Box:
        """Give the part of an array (Z, Y, X) that a tool may look at and change.

        Raises
        ------
        CorrectionError
            If there is no such slice.
        """
        parts = [slice(0, length) for length in shape]
        if self.axis is not None:
            if not (0 <= self.axis < 3 and 0 <= self.index < shape[self.axis]):
                raise CorrectionError(
                    f"There is no slice {self.index} across axis {self.axis} in a label map of "
                    f"{shape} voxels."
                )
            parts[self.axis] = slice(self.index, self.index + 1)
        z, y, x = parts
        return z, y, x

    @property
    def flat(self) -> tuple[int, ...]:
        """The axes along which neighbours count."""
        return tuple(axis for axis in range(3) if axis != self.axis)


VOLUME = Scope()


def neighbours(scope: Scope) -> NDArray[np.bool_]:
    """Give the face neighbours (3, 3, 3) of a voxel that lie in the scope."""
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1, 1, 1] = True
    for axis in scope.flat:
        for side in (0, 2):
            place = [1, 1, 1]
            place[axis] = side
            structure[tuple(place)] = True
    return structure


def box_of_label(labels: Labels, label: int, scope: Scope) -> Box | None:
    """Give the smallest box in the scope that holds a label; None where there is none."""
    whole = scope.box(labels.shape)
    found = bounding_box(labels[whole] == label)
    if found is None:
        return None
    z, y, x = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(whole, found, strict=True)
    )
    return z, y, x


def changed(labels: Labels, box: Box, after: Labels) -> Change:
    """Give what differs between a box of a label map and its new labels."""
    return change_between(labels[box], after, (box[0].start, box[1].start, box[2].start))


def nothing(labels: Labels) -> Change:
    """Give the change that changes nothing."""
    return Change((0, 0, 0), np.zeros((0, 0, 0), labels.dtype), 0)
