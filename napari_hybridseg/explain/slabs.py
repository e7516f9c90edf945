"""Averaging overlapping windows, and letting go of what no later window touches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_hybridseg.explain.cells import Windows
from napari_hybridseg.inference.windows import Shape

# turns the C values of each cell into one: (C, Y, X) to (Y, X)
Reduce = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Slab:
    """Final means, (C, dz, Y, X), from row ``start`` of the padded array."""

    start: int
    values: Tensor


class SlabMeans:
    """Weighted means over windows that come with Z slowest; holds one window's depth.

    The bare means of any maps, in voxels or in cells: what a segmentation's accumulator does for
    logits, without its arithmetic. With ``reduce`` a slab has one channel, what ``reduce`` makes of
    the means of its cells: then the means of all channels exist for one row at a time only.
    Slabs are ``thickness`` rows thick, which divides what becomes final at a time.
    """

    def __init__(
        self,
        windows: Windows,
        importance: Tensor,
        channels: int,
        reduce: Reduce | None = None,
        thickness: int = 1,
    ) -> None:
        shape = (windows.window[0], *windows.padded[1:])
        self._windows = windows
        self._importance = importance
        self._reduce = reduce
        self._thickness = thickness
        self._sum = torch.zeros((channels, *shape), device=importance.device)
        self._weight = torch.zeros(shape, device=importance.device)
        self._top = 0

    def add(self, start: Shape, values: Tensor) -> Iterator[Slab]:
        """Add one window's values, (C, *window), that begin at ``start``; give what is final."""
        if start[0] > self._top:
            yield from self._release(start[0] - self._top)
        _, y, x = start
        _, height, width = self._windows.window
        place = (slice(None), slice(y, y + height), slice(x, x + width))
        self._sum[(slice(None), *place)].addcmul_(values.float(), self._importance)
        self._weight[place] += self._importance

    def finish(self) -> Iterator[Slab]:
        """Give what is left after the last window."""
        yield from self._release(self._windows.window[0])

    def _release(self, rows: int) -> Iterator[Slab]:
        for first in range(0, rows, self._thickness):
            last = first + self._thickness
            yield Slab(self._top + first, self._means(first, last))
        depth = self._windows.window[0]
        for held in (self._sum, self._weight[None]):
            # row by row, so that what moves up is never held twice
            for row in range(rows, depth):
                held[:, row - rows] = held[:, row]
            held[:, depth - rows :] = 0
        self._top += rows

    def _means(self, first: int, last: int) -> Tensor:
        if self._reduce is None:
            return self._sum[:, first:last] / self._weight[first:last]
        rows = range(first, last)
        found = [self._reduce(self._sum[:, row] / self._weight[row]) for row in rows]
        return torch.stack(found)[None]
