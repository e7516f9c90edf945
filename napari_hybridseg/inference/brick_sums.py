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

_KEPT_WEIGHTS = 48


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
        self._wall = wall
        self._host_importance = importance
        self._importance = arithmetic.own(importance)
        self._classes = num_classes
        self._totals: dict[Index, Any] = {}
        # bricks that lie alike under their windows have the same weights
        self._weights = lru_cache(_KEPT_WEIGHTS)(self._make_weights)

    def add(self, window: Index, logits: Tensor) -> None:
        """Add the logits (K, *window) of the window of this place.

        When memory runs out, nothing was added.
        """
        values = self.arithmetic.taken(logits)
        new: dict[Index, Any] = {}
        parts = [self._part(window, brick, new) for brick in self._wall.touched(window)]
        self._totals |= new
        self.arithmetic.add(parts, values, self._importance)

    def completed(self, window: Index) -> list[Brick]:
        """Give what is final once this window was added, and forget it.

        When memory runs out, nothing is forgotten.
        """
        bricks = [self._finished(brick) for brick in self._wall.completed(window)]
        for brick in bricks:
            del self._totals[brick.place]
        return bricks

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

    def _part(self, window: Index, brick: Index, new: dict[Index, Any]) -> Part:
        grid = self._wall.grid
        start = tuple(along[i] for along, i in zip(grid.along, window, strict=True))
        begin, shape = self._wall.box(brick)
        low = [max(b, s) for b, s in zip(begin, start, strict=True)]
        high = [
            min(b + n, s + w) for b, n, s, w in zip(begin, shape, start, grid.window, strict=True)
        ]
        size = tuple(h - n for h, n in zip(high, low, strict=True))
        is_first = brick not in self._totals
        if is_first:
            total = new[brick] = self.arithmetic.empty((self._classes, *shape))
            if size != shape:
                total[:] = 0
        return Part(
            total=new[brick] if is_first else self._totals[brick],
            here=tuple(n - b for n, b in zip(low, begin, strict=True)),  # type: ignore[arg-type]
            there=tuple(n - s for n, s in zip(low, start, strict=True)),  # type: ignore[arg-type]
            size=size,  # type: ignore[arg-type]
            is_first=is_first and size == shape,
        )

    def _finished(self, brick: Index) -> Brick:
        begin, shape = self._wall.box(brick)
        grid = self._wall.grid
        offsets = tuple(
            tuple(grid.along[axis][i] - begin[axis] for axis, i in enumerate(window))
            for window in self._wall.windows_of(brick)
        )
        return Brick(brick, begin, self._totals[brick], self._weights(shape, offsets))

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
