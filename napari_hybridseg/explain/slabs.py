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
    """

    def __init__(
        self,
        windows: Windows,
        importance: Tensor,
        channels: int,
        reduce: Reduce | None = None,
    ) -> None:
        shape = (windows.window[0], *windows.padded[1:])
        self._windows = windows
        self._importance = importance
        self._reduce = reduce
        self._sum = torch.zeros((channels, *shape), device=importance.device)
        self._weight = torch.zeros(shape, device=importance.device)
        self._top = 0

    def add(self, start: Shape, values: Tensor) -> Iterator[Slab]:
        """Add one window's values, (C, *window), that begin at ``start``; give what is final."""
        if start[0] > self._top:
            yield self._release(start[0] - self._top)
        _, y, x = start
        _, height, width = self._windows.window
        place = (slice(None), slice(y, y + height), slice(x, x + width))
        self._sum[(slice(None), *place)].addcmul_(values.float(), self._importance)
        self._weight[place] += self._importance

    def finish(self) -> Iterator[Slab]:
        """Give what is left after the last window."""
        yield self._release(self._windows.window[0])

    def _release(self, rows: int) -> Slab:
        slab = Slab(self._top, self._means(rows))
        depth = self._windows.window[0]
        for held in (self._sum, self._weight[None]):
            # row by row, so that what moves up is never held twice
            for row in range(rows, depth):
                held[:, row - rows] = held[:, row]
            held[:, depth - rows :] = 0
        self._top += rows
        return slab

    def _means(self, rows: int) -> Tensor:
        if self._reduce is None:
            return self._sum[:, :rows] / self._weight[:rows]
        found = [self._reduce(self._sum[:, row] / self._weight[row]) for row in range(rows)]
        return torch.stack(found)[None]
