"""Adding overlapping windows up, and letting go of what no later window touches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_hybridseg.inference.windows import Shape, WindowPlan


@dataclass(frozen=True)
class Slab:
    """Final mean logits, (K, dz, Y, X), from row ``start`` of the padded array."""

    start: int
    logits: Tensor


class Accumulator(Protocol):
    """Takes window logits in the plan's order and gives final slabs as early as it can."""

    def add(self, start: Shape, logits: Tensor) -> Iterator[Slab]:
        """Add one window's logits, shape (K, *window), that begins at voxel ``start``."""

    def finish(self) -> Iterator[Slab]:
        """Give what is left after the last window."""


class SlabAccumulator:
    """Holds one window's depth of the volume at a time.

    Windows come with Z slowest. As soon as one begins at a later row, all rows before it are
    final: they are divided by their weights and handed out, and the rest moves up.
    """

    def __init__(self, plan: WindowPlan, importance: Tensor, num_classes: int) -> None:
        depth = plan.window[0]
        plane = plan.padded[1:]
        self._window = plan.window
        self._importance = importance
        self._sum = torch.zeros((num_classes, depth, *plane), device=importance.device)
        self._weight = torch.zeros((depth, *plane), device=importance.device)
        self._top = 0

    def add(self, start: Shape, logits: Tensor) -> Iterator[Slab]:
        """Add one window's logits, shape (K, *window), that begins at voxel ``start``."""
        if start[0] > self._top:
            yield self._release(start[0] - self._top)
        _, y, x = start
        _, height, width = self._window
        place = (slice(None), slice(y, y + height), slice(x, x + width))
        self._sum[(slice(None), *place)].addcmul_(logits.float(), self._importance)
        self._weight[place] += self._importance

    def finish(self) -> Iterator[Slab]:
        """Give what is left after the last window."""
        yield self._release(self._window[0])

    def _release(self, rows: int) -> Slab:
        slab = Slab(self._top, self._sum[:, :rows] / self._weight[:rows])
        for held in (self._sum, self._weight[None]):
            kept = held[:, rows:].clone()
            held[:, : kept.shape[1]] = kept
            held[:, kept.shape[1] :] = 0
        self._top += rows
        return slab
