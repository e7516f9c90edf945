"""From sums on the network's grid to labels on the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.arithmetic import Arithmetic
from napari_hybridseg.inference.axis_tables import AxisTable
from napari_hybridseg.inference.brick_sums import Brick
from napari_hybridseg.inference.windows import Index, Shape
from napari_hybridseg.older_python import zip

Labels = NDArray[Union[np.uint8, np.uint16]]
Tables = tuple[AxisTable, AxisTable, AxisTable]

# interpolated at once: more take memory, fewer take time, as one plane is interpolated twice
_PLANES = 8


class InferenceError(HybridSegError):
    """A network that cannot be run here, or does not answer with numbers."""


@dataclass(frozen=True)
class LabelBox:
    """Final labels, (dz, dy, dx), from voxel ``start`` of the output grid."""

    start: Shape
    labels: Labels


class LabelFinisher:
    """Turns bricks, as they are completed, into labels on the output grid.

    Mean logits are interpolated linearly and the largest wins (the first of equals). Of a brick
    only its upper faces are kept, until the bricks beyond have taken them.

    Parameters
    ----------
    before, shape : tuple of int
        Where the network's grid begins in the padded array, and its shape (Z, Y, X).
    tables : tuple of AxisTable
        Where output voxels lie between those of the network's grid, along Z, Y, X.
    values : ndarray
        The label number of every output channel.
    arithmetic : Arithmetic
        Where and how means are compared.

    Attributes
    ----------
    only_largest : bool
        Whether voxels are the network's own, so that bricks need nothing but to be compared.
    """

    def __init__(
        self, before: Shape, shape: Shape, tables: Tables, values: Labels, arithmetic: Arithmetic
    ) -> None:
        self.arithmetic = arithmetic
        self._before = before
        self._shape = shape
        self._tables = tables
        self._values = values
        self._is_counted = np.array_equal(values, np.arange(len(values)))
        self.only_largest = all(table.is_identity for table in tables)
        self._faces: dict[tuple[int, Index], Any] = {}

    @property
    def held(self) -> int:
        """How many faces wait for the brick beyond."""
        return len(self._faces)

    def take(self, brick: Brick) -> LabelBox:
        """Take a completed brick after those before it; give the labels that it completes.

        Raises
        ------
        InferenceError
            If a logit is not a finite number: the largest of such would be a made-up label.

        When memory runs out, the same brick can be given again.
        """
        begin, inside = self._without_padding(brick)
        weights = self.arithmetic.own(brick.weights[inside])
        ends = [b + n for b, n in zip(begin, weights.shape, strict=True)]
        pieces = self._pieces(begin, ends)
        if brick.largest is not None:
            channels, are_numbers = brick.largest
            _refuse_unless(are_numbers)
            labels = self._numbered(channels[inside])
        elif self.only_largest:
            total = self.arithmetic.own(brick.total[(slice(None), *inside)])
            channels, are_numbers = self.arithmetic.largest(total, weights)
            _refuse_unless(are_numbers)
            labels = self._numbered(channels)
        else:
            total = self.arithmetic.own(brick.total[(slice(None), *inside)])
            labels = self._largest_between(brick.place, begin, pieces, total, weights)
        z, y, x = (piece.start for piece in pieces)
        return LabelBox((z, y, x), labels)

    def move_to(self, arithmetic: Arithmetic) -> None:
        """Go on elsewhere."""
        self._faces = {at: arithmetic.own(face) for at, face in self._faces.items()}
        self.arithmetic = arithmetic

    def _without_padding(self, brick: Brick) -> tuple[list[int], tuple[slice, ...]]:
        """Give where a brick begins on the network's grid, and which part of it lies there."""
        inside, begin = [], []
        for start, before, length, n in zip(
            brick.start, self._before, self._shape, brick.weights.shape, strict=True
        ):
            low, high = max(before - start, 0), min(before + length - start, n)
            inside.append(slice(low, high))
            begin.append(start + low - before)
        return begin, tuple(inside)

    def _numbered(self, channels: NDArray[np.integer[Any]]) -> Labels:
        # a look-up costs as much as finding the largest
        return channels.astype(self._values.dtype) if self._is_counted else self._values[channels]

    def _pieces(self, begin: list[int], ends: list[int]) -> Tables:
        """Give the outputs that a box of the network's grid completes."""
        z, y, x = (t.piece(b, e) for t, b, e in zip(self._tables, begin, ends, strict=True))
        return z, y, x

    def _largest_between(
        self, place: Index, begin: list[int], pieces: Tables, total: Any, weights: Any
    ) -> Labels:
        """Interpolate between a brick's means and those one voxel in front along each axis."""
        depth, *plane = weights.shape
        before = [self._faces.get((axis, place)) for axis in range(3)]
        labels = np.empty([len(piece) for piece in pieces], dtype=self._values.dtype)
        faces: list[list[Any]] = [[], [], []]
        done, last = 0, before[0]
        # a few planes at a time: the means of all would take as much memory as the sums
        for first in range(0, depth, _PLANES):
            count = min(_PLANES, depth - first)
            shape = (total.shape[0], count + 1, *(n + 1 for n in plane))
            means = self.arithmetic.empty(shape)
            _refuse_unless(self.arithmetic.means_into(total, weights, means, first))
            cut = slice(first, first + count + 1)
            fronts = last, *(None if face is None else face[:, cut] for face in before[1:])
            for axis, front in enumerate(fronts):
                if front is not None:
                    means[_at(axis, 0)] = front
            for axis in (1, 2):
                face = self.arithmetic.copy(means[_at(axis, -1)])
                faces[axis].append(face[:, min(first, 1) :])
            last = self.arithmetic.copy(means[:, -1])
            rows = self._tables[0].piece(begin[0] + first, begin[0] + first + count)
            channels = self.arithmetic.largest_between(means, (rows, *pieces[1:]))
            self.arithmetic.release(means)
            labels[done : done + len(rows)] = self._numbered(channels)
            done += len(rows)
        faces[0] = [last]
        new = {}
        for axis, parts in enumerate(faces):
            if begin[axis] + weights.shape[axis] < self._shape[axis]:
                z, y, x = (p + (at == axis) for at, p in enumerate(place))
                new[axis, (z, y, x)] = self.arithmetic.joined(parts)
        for axis in range(3):
            self._faces.pop((axis, place), None)
        self._faces |= new
        return labels


def _at(axis: int, index: int) -> tuple[slice | int, ...]:
    """Say where a face of (K, Z, Y, X) lies."""
    return (*(slice(None),) * (axis + 1), index)


def _refuse_unless(are_numbers: bool) -> None:
    if not are_numbers:
        raise InferenceError(
            "The network's answer is not a set of numbers, so no label can be trusted; run it "
            "with precision float32, or check the checkpoint."
        )
