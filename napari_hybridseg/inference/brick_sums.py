"""Adding overlapping windows up, and letting go of what no later window touches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.inference.arithmetic import Arithmetic, Part, Share
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
    by_rows : bool
        Whether windows wait for the next along X, to be added together: faster, for the memory
        of their logits, which nobody may write to meanwhile.
    """

    def __init__(
        self,
        wall: BrickWall,
        importance: NDArray[np.float32],
        num_classes: int,
        arithmetic: Arithmetic,
        by_rows: bool = False,
    ) -> None:
        assert not by_rows or wall.grid.axes[2] == _X
        self._by_rows = by_rows
        # by their place along X
        self._waiting: dict[int, Any] = {}
        self.arithmetic = arithmetic
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
        waiting = self._waiting | {window[_X]: values}
        places = list(self._wall.completed(window))
        weights = [self._weights_of(place) for place in places]
        totals = self._sum(window, places, waiting)
        self._waiting = waiting
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
        chunk, now = self._wall.chunks[_X], window[_X]
        if self._by_rows:
            places = [place for place in places if chunk.last[place[_X]] == now]
        self._totals |= self._sum(window, places, self._waiting)
        self._waiting = {
            place: values
            for place, values in self._waiting.items()
            if self._by_rows and chunk.last[chunk.touched[place][-1]] > now
        }

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
        self._waiting = {at: arithmetic.own(values) for at, values in self._waiting.items()}
        self._importance = arithmetic.own(self._host_importance)
        self._weights.cache_clear()
        self.arithmetic = arithmetic

    def _sum(self, window: Index, places: list[Index], waiting: dict[int, Any]) -> dict[Index, Any]:
        """Add what waits for bricks, of this window's row, and give their sums."""
        parts = {place: self._part(window, place, waiting) for place in places}
        self.arithmetic.add(list(parts.values()), self._importance)
        return {place: part.total for place, part in parts.items()}

    def _part(self, window: Index, brick: Index, waiting: dict[int, Any]) -> Part:
        _, shape = self._wall.box(brick)
        chunk = self._wall.chunks[_X]
        z, y, now = window
        row = range(chunk.first[brick[_X]], now + 1) if self._by_rows else (now,)
        shares = tuple(self._share((z, y, x), brick, waiting[x]) for x in row)
        total = self._totals.get(brick)
        if total is not None:
            return Part(total, shares, is_first=False)
        total = self.arithmetic.empty((self._classes, *shape))
        fills = shares[0].size == shape
        if not fills:
            total[:] = 0
        return Part(total, shares, is_first=fills)

    def _share(self, window: Index, brick: Index, values: Any) -> Share:
        grid = self._wall.grid
        start = tuple(along[i] for along, i in zip(grid.along, window, strict=True))
        begin, shape = self._wall.box(brick)
        low = [max(b, s) for b, s in zip(begin, start, strict=True)]
        high = [
            min(b + n, s + w) for b, n, s, w in zip(begin, shape, start, grid.window, strict=True)
        ]
        return Share(
            values=values,
            here=tuple(n - b for n, b in zip(low, begin, strict=True)),  # type: ignore[arg-type]
            there=tuple(n - s for n, s in zip(low, start, strict=True)),  # type: ignore[arg-type]
            size=tuple(h - n for h, n in zip(high, low, strict=True)),  # type: ignore[arg-type]
        )

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
