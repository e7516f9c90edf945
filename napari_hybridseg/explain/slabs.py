"""Averaging overlapping windows, and letting go of what no later window touches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_hybridseg.explain.cells import Windows
from napari_hybridseg.inference.pages import own_pages
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import zip

# turns the C values of each cell into one: (C, Y, X) to (Y, X)
Reduce = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Slab:
    """Final means, (C, dz, dy, X), from row ``start`` and line ``top`` of the padded array."""

    start: int
    values: Tensor
    top: int = 0


@dataclass
class _Band:
    """Lines ``top`` to ``bottom`` of all rows that windows are being added to, if any."""

    top: int
    bottom: int
    total: Tensor | None = None
    weight: Tensor | None = None
    is_open: bool = False


class SlabMeans:
    """Weighted means over windows that come in the order of ``Windows.starts``.

    The bare means of any maps, in voxels or in cells: what a segmentation's accumulator does for
    logits, without its arithmetic. The array is cut along Y into bands, at ``cuts``. Of a band
    that windows are being added to, their depth is held; of any other band only the rows that
    the next layer of windows shares.

    With ``reduce`` a slab has one channel, what ``reduce`` makes of the means of its cells: then
    the means of all channels exist for one row at a time only. Slabs are ``thickness`` rows
    thick, which divides what becomes final at a time.
    """

    def __init__(
        self,
        windows: Windows,
        importance: Tensor,
        channels: int,
        reduce: Reduce | None = None,
        thickness: int = 1,
        cuts: Sequence[int] = (0,),
    ) -> None:
        self._windows = windows
        self._importance = importance
        self._channels = channels
        self._reduce = reduce
        self._thickness = thickness
        bottoms = (*cuts[1:], windows.padded[1])
        self._bands = [_Band(*lines) for lines in zip(cuts, bottoms, strict=True)]
        self._layer = 0
        self._finished = 0

    def add(self, start: Shape, values: Tensor) -> Iterator[Slab]:
        """Add one window's values, (C, *window), that begin at ``start``; give what is final."""
        z, y, x = start
        if z not in self._windows.layers[self._layer]:
            yield from self.finish()
            self._layer += 1
            self._finished = 0
        yield from self._release(y)
        depth, height, width = self._windows.window
        first = z - self._windows.layers[self._layer][0]
        for band in self._bands:
            low, high = max(y, band.top), min(y + height, band.bottom)
            if low >= high:
                continue
            total, weight = self._opened(band)
            lines, there = slice(low - y, high - y), slice(low - band.top, high - band.top)
            place = (slice(first, first + depth), there, slice(x, x + width))
            importance = self._importance[:, lines]
            total[(slice(None), *place)].addcmul_(values[:, :, lines].float(), importance)
            weight[place] += importance

    def finish(self) -> Iterator[Slab]:
        """Give what is left after the last window of a layer."""
        yield from self._release(self._windows.padded[1])

    @property
    def held(self) -> int:
        """How many cells there are sums of."""
        return sum(band.weight.numel() for band in self._bands if band.weight is not None)

    def _opened(self, band: _Band) -> tuple[Tensor, Tensor]:
        """Give a band's sums for all rows of the layer."""
        if not band.is_open:
            layer = self._windows.layers[self._layer]
            depth = layer[-1] - layer[0] + self._windows.window[0]
            shape = (depth, band.bottom - band.top, self._windows.padded[2])
            total, weight = self._zeros((self._channels, *shape)), self._zeros(shape)
            if band.total is not None and band.weight is not None:
                total[:, : band.total.shape[1]] = band.total
                weight[: len(band.weight)] = band.weight
            band.total, band.weight, band.is_open = total, weight, True
        assert band.total is not None
        assert band.weight is not None
        return band.total, band.weight

    def _release(self, line: int) -> Iterator[Slab]:
        """Give the final rows of the bands that end at ``line`` or before."""
        layers = self._windows.layers
        while self._finished < len(self._bands):
            band = self._bands[self._finished]
            if band.bottom > line:
                return
            total, weight = self._opened(band)
            is_last = self._layer + 1 == len(layers)
            start = layers[self._layer][0]
            rows = len(weight) if is_last else layers[self._layer + 1][0] - start
            for first in range(0, rows, self._thickness):
                last = first + self._thickness
                means = self._means(total[:, first:last], weight[first:last])
                yield Slab(start + first, means, band.top)
            band.total, band.weight = (
                self._kept(held) for held in (total[:, rows:], weight[rows:])
            )
            band.is_open = False
            self._finished += 1

    def _means(self, total: Tensor, weight: Tensor) -> Tensor:
        if self._reduce is None:
            return total / weight
        found = [self._reduce(total[:, row] / weight[row]) for row in range(len(weight))]
        return torch.stack(found)[None]

    def _kept(self, rows: Tensor) -> Tensor | None:
        return self._zeros(tuple(rows.shape)).copy_(rows) if rows.numel() else None

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        if self._importance.device.type == "cpu":
            return torch.from_numpy(own_pages(shape, np.float32))
        return torch.zeros(shape, device=self._importance.device)
