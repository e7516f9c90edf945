"""From mean logits on the network's grid to labels on the volume's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.accumulator import Slab
from napari_hybridseg.inference.windows import Shape, WindowPlan


class InferenceError(HybridSegError):
    """A network that does not answer with numbers."""


@dataclass(frozen=True)
class LabelRows:
    """Final labels, (dz, Y, X), from row ``start`` of the volume's grid."""

    start: int
    labels: NDArray[np.uint8 | np.uint16]


class LabelFinisher:
    """Turns slabs of logits, as they come, into rows of labels on the output grid.

    Both grids cover the same box. Logits are interpolated linearly, the largest wins (the first
    of equals). Only the last plane is kept between slabs, so memory does not grow with depth.

    Parameters
    ----------
    plan : WindowPlan
        How the working grid was padded.
    working, output : tuple of int
        Array shapes (Z, Y, X) of the network's grid and of the volume's.
    values : ndarray
        The label number of every output channel.
    """

    def __init__(
        self,
        plan: WindowPlan,
        working: Shape,
        output: Shape,
        values: NDArray[np.uint8 | np.uint16],
    ) -> None:
        self._plan = plan
        self._working = working
        self._output = output
        self._values = values
        self._planes: dict[int, Tensor] = {}
        self._next_output = 0

    def feed(self, slab: Slab) -> Iterator[LabelRows]:
        """Take the next slab; give the output rows that it completes, if any.

        Raises
        ------
        InferenceError
            If a logit is not a finite number: the largest of such would be a made-up label.
        """
        _refuse_no_numbers(slab.logits)
        first = slab.start - self._plan.before[0]
        for offset in range(slab.logits.shape[1]):
            row = first + offset
            if 0 <= row < self._working[0]:
                self._planes[row] = self._to_output_plane(slab.logits[:, offset])
        rows = list(self._completed_rows(first + slab.logits.shape[1] - 1))
        if rows:
            start = self._next_output
            self._next_output += len(rows)
            yield LabelRows(start, np.stack(rows))

    def _completed_rows(self, last_known: int) -> Iterator[NDArray[np.uint8 | np.uint16]]:
        scale = self._working[0] / self._output[0]
        for row in range(self._next_output, self._output[0]):
            place = min(max((row + 0.5) * scale - 0.5, 0.0), self._working[0] - 1.0)
            low = int(place)
            high = min(low + 1, self._working[0] - 1)
            if high > last_known:
                return
            for known in [known for known in self._planes if known < low]:
                del self._planes[known]
            yield self._labels(low, high, place - low)

    def _labels(self, low: int, high: int, part: float) -> NDArray[np.uint8 | np.uint16]:
        plane = self._planes[low]
        if part > 0:
            plane = torch.lerp(plane, self._planes[high], part)
        return self._values[plane.argmax(dim=0).cpu().numpy()]

    def _to_output_plane(self, logits: Tensor) -> Tensor:
        (_, y, x), (_, height, width) = self._plan.before, self._working
        inside = logits[:, y : y + height, x : x + width]
        if self._output[1:] == self._working[1:]:
            return inside
        return functional.interpolate(inside[None], size=self._output[1:], mode="bilinear")[0]


def _refuse_no_numbers(logits: Tensor) -> None:
    if logits.numel() == 0:
        return
    low, high = logits.aminmax()
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise InferenceError(
            "The network's answer is not a set of numbers, so no label can be trusted; run it "
            "with precision float32, or check the checkpoint."
        )
