"""Adding overlapping windows up, and letting go of what no later window touches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.inference.arithmetic import Arithmetic, Part
from napari_hybridseg.inference.bricks import BrickWall
from napari_hybridseg.inference.windows import Index, Shape

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
    """

    place: Index
    start: Shape
    total: Any
    weights: Any


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
    """

    def __init__(
        self,
        wall: BrickWall,
        importance: NDArray[np.float32],
        num_classes: int,
        arithmetic: Arithmetic,
    ) -> None:
        self.arithmetic = arithmetic
        self._logits: Any = None
        self._wall = wall
        self._host_importance = importance
        self._importance = arithmetic.own(importance)
        self._classes = num_classes
        self._totals: dict[Index, Any] = {}
        # bricks that lie alike under their windows have the same weights
        self._weights = lru_cache(_KEPT_WEIGHTS)(self._make_weights)

    def complete(self, window: Index, logits: Tensor) -> list[Brick]:
        """Take the logits (K, *window) of a window, and give the bricks that it is the last of.

        Nothing of these is kept; ``keep`` has to follow for the others. They come first so that
        their memory can serve again. When memory runs out, nothing was done.
        """
        values = self.arithmetic.taken(logits)
        places = list(self._wall.completed(window))
        weights = [self._weights_of(place) for place in places]
        totals = self._sum(window, places, values)
        self._logits = values
        for place in places:
            self._totals.pop(place, None)
        return [
            Brick(place, self._wall.box(place)[0], totals[place], weight)
            for place, weight in zip(places, weights, strict=True)
        ]

    def keep(self, window: Index) -> None:
        """Add the rest of a window to the bricks that wait for more.

        When memory runs out, nothing was added.
        """
        done = set(self._wall.completed(window))
        places = [place for place in self._wall.touched(window) if place not in done]
        self._totals |= self._sum(window, places, self._logits)
        self._logits = None

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
        if self._logits is not None:
            self._logits = arithmetic.own(self._logits)
        self._importance = arithmetic.own(self._host_importance)
        self._weights.cache_clear()
        self.arithmetic = arithmetic

    def _sum(self, window: Index, places: list[Index], logits: Any) -> dict[Index, Any]:
        """Add a window's logits to bricks, and give their sums."""
        parts = {place: self._part(window, place) for place in places}
        self.arithmetic.add(list(parts.values()), logits, self._importance)
        return {place: part.total for place, part in parts.items()}

    def _part(self, window: Index, brick: Index) -> Part:
        here, there, size = self._common(window, brick)
        shape = self._wall.box(brick)[1]
        total, written = self._totals.get(brick), size[_X]
        if total is None:
            total = self.arithmetic.empty((self._classes, *shape))
            if size[:_X] != shape[:_X]:
                total[:] = 0
        if size[:_X] == shape[:_X] and self._is_first_row(window, brick):
            written = self._written(window, brick)
        return Part(total, here, there, size, written)

    def _common(self, window: Index, brick: Index) -> tuple[Shape, Shape, Shape]:
        """Give where what they share begins in the brick and in the window, and its voxels."""
        here, there, size = [], [], []
        for axis, (begin, n) in enumerate(zip(*self._wall.box(brick), strict=True)):
            start = self._wall.grid.along[axis][window[axis]]
            low = max(begin, start)
            here.append(low - begin)
            there.append(low - start)
            size.append(min(begin + n, start + self._wall.grid.window[axis]) - low)
        return tuple(here), tuple(there), tuple(size)  # type: ignore[return-value]

    def _is_first_row(self, window: Index, brick: Index) -> bool:
        """Whether no window before touched the brick but those beside this one along X."""
        chunks = self._wall.chunks
        return all(window[axis] == chunks[axis].first[brick[axis]] for axis in range(_X))

    def _written(self, window: Index, brick: Index) -> int:
        """In how many columns of what they share there are sums of the window before along X."""
        if window[_X] == self._wall.chunks[_X].first[brick[_X]]:
            return 0
        starts, length = self._wall.grid.along[_X], self._wall.grid.window[_X]
        (here, _, size), begin = self._common(window, brick), self._wall.box(brick)[0][_X]
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
