"""Adding overlapping windows up, and letting go of what no later window touches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.inference.arithmetic import Arithmetic, Largest, Part
from napari_hybridseg.inference.bricks import BrickWall
from napari_hybridseg.inference.windows import Index, Shape
from napari_hybridseg.older_python import zip

_KEPT_WEIGHTS = 12
_X = 2


@dataclass(frozen=True)
class Brick:
    """Final sums of a piece of the padded array.

    Attributes
    ----------
    place : tuple of int
        Its number along (Z, Y, X).
    start : tuple of int
        Its first voxel.
    total, weights : array
        Sums (K, Z, Y, X) of weighted logits, and of weights (Z, Y, X).
    largest : tuple or None
        What ``Arithmetic.largest`` gives of them, where it was found on the way; then ``total``
        holds anything.
    """

    place: Index
    start: Shape
    total: Any
    weights: Any
    largest: Largest | None = None


class BrickAccumulator:
    """Holds the sums of those bricks that windows were added to and will be added to.

    Parameters
    ----------
    wall : BrickWall
        The windows of the run, in its order, and the bricks.
    importance : ndarray
        Weight of each voxel of a window, float32 (Z, Y, X).
    num_classes : int
        Channels of the logits.
    arithmetic : Arithmetic
        Where and how the sums are made.
    only_largest : bool
        Whether nothing but the channel of the largest mean is asked of a brick.
    """

    def __init__(
        self,
        wall: BrickWall,
        importance: NDArray[np.float32],
        num_classes: int,
        arithmetic: Arithmetic,
        only_largest: bool = False,
    ) -> None:
        self.arithmetic = arithmetic
        self._only_largest = only_largest
        self._wall = wall
        self._host_importance = importance
        self._importance = arithmetic.own(importance)
        self._classes = num_classes
        self._totals: dict[Index, Any] = {}
        # bricks that lie alike under their windows have the same weights
        self._weights = lru_cache(_KEPT_WEIGHTS)(self._make_weights)

    def taken(self, logits: Tensor) -> Any:
        """Take the logits (K, *window) of a window, to be added row by row."""
        return self.arithmetic.taken(logits)

    def rows(self, window: Index) -> list[list[Index]]:
        """Give the bricks that a window touches, those together that lie side by side along X."""
        return [list(row) for _, row in groupby(self._wall.touched(window), lambda at: at[:_X])]

    def add(self, window: Index, row: list[Index], logits: Any) -> list[Brick]:
        """Add a window's logits to a row of bricks, and give those that it is the last of.

        Nothing of these is kept; ``release`` lets their memory serve the next row. When memory
        runs out, nothing was done.
        """
        values = self.arithmetic.own(logits)
        done = [place for place in row if self._wall.is_completed(window, place)]
        weights = {place: self._weights_of(place) for place in done}
        parts = [self._part(window, place, weights.get(place)) for place in row]
        largest = self.arithmetic.add(parts, values, self._importance)
        self._totals |= {place: part.total for place, part in zip(row, parts, strict=True)}
        found = dict(zip(row, largest, strict=True))
        return [
            Brick(at, self._wall.box(at)[0], self._totals.pop(at), weights[at], found[at])
            for at in done
        ]

    @property
    def held(self) -> int:
        """How many bricks are being added up."""
        return len(self._totals)

    def release(self, brick: Brick) -> None:
        """Take back the sums of a brick that is finished."""
        if type(brick.total) is type(self._importance):
            self.arithmetic.release(brick.total)

    def move_to(self, arithmetic: Arithmetic) -> None:
        """Go on with the same sums elsewhere."""
        self._totals = {brick: arithmetic.own(total) for brick, total in self._totals.items()}
        self._importance = arithmetic.own(self._host_importance)
        self._weights.cache_clear()
        self.arithmetic = arithmetic

    def _part(self, window: Index, brick: Index, weights: Any) -> Part:
        here, there, size = self._wall.common(window, brick)
        shape = self._wall.box(brick)[1]
        total, written = self._totals.get(brick), size[_X]
        if total is None:
            total = self.arithmetic.empty((self._classes, *shape))
            if size[:_X] != shape[:_X]:
                total[:] = 0
        if size[:_X] == shape[:_X] and self._is_first_row(window, brick):
            written = self._written(window, brick)
        compared = weights if self._only_largest and size == shape else None
        return Part(total, here, there, size, written, compared)

    def _is_first_row(self, window: Index, brick: Index) -> bool:
        """Whether no window before touched the brick but those beside this one along X."""
        chunks = self._wall.chunks
        return all(window[axis] == chunks[axis].first[brick[axis]] for axis in range(_X))

    def _written(self, window: Index, brick: Index) -> int:
        """In how many columns of what they share there are sums of the window before along X."""
        if window[_X] == self._wall.chunks[_X].first[brick[_X]]:
            return 0
        starts, length = self._wall.grid.along[_X], self._wall.grid.window[_X]
        (here, _, size), begin = self._wall.common(window, brick), self._wall.box(brick)[0][_X]
        before = starts[window[_X] - 1] + length - begin - here[_X]
        return min(max(before, 0), size[_X])

    def _weights_of(self, brick: Index) -> Any:
        begin, shape = self._wall.box(brick)
        grid = self._wall.grid
        offsets = tuple(
            tuple(grid.along[axis][i] - begin[axis] for axis, i in enumerate(window))
            for window in self._wall.windows_of(brick)
        )
        return self._weights(shape, offsets)

    def _make_weights(self, shape: Shape, offsets: tuple[Shape, ...]) -> Any:
        """Add up the weights of windows that begin ``offsets`` from a brick's first voxel."""
        weights = np.zeros(shape, dtype=np.float32)
        for offset in offsets:
            here = tuple(
                slice(max(o, 0), min(o + w, n))
                for o, w, n in zip(offset, self._host_importance.shape, shape, strict=True)
            )
            there = tuple(
                slice(place.start - o, place.stop - o)
                for place, o in zip(here, offset, strict=True)
            )
            weights[here] += self._host_importance[there]
        return self.arithmetic.own(weights)
