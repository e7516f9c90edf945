"""Windows in, labels out: the loop of a segmentation run."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.inference.arithmetic import Arithmetic, DeviceArithmetic, HostArithmetic
from napari_hybridseg.inference.backends import Backend
from napari_hybridseg.inference.brick_sums import Brick, BrickAccumulator
from napari_hybridseg.inference.finish import LabelBox, LabelFinisher, Labels, Tables
from napari_hybridseg.inference.passes import Passes
from napari_hybridseg.inference.run_plan import RunPlan
from napari_hybridseg.inference.windows import Index, importance_map
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip

# shares of a GPU's free memory that the sums and the image may take
_SUMS_SHARE = 0.4
_IMAGE_SHARE = 0.2

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class RowsDone:
    """Nothing will change any more between two output indices of an axis."""

    axis: int
    begin: int
    end: int


class WindowRun:
    """One run: adds windows up and finishes bricks, on the device or, if need be, on the host.

    Parameters
    ----------
    plan : RunPlan
        The windows.
    tables : tuple of AxisTable
        Where output voxels lie on the network's grid.
    values : ndarray
        The label number of every output channel.
    backend : Backend
        What runs the network.
    card : ModelCard
        What the network is.
    batch : int
        Windows at a time; 0 decides.
    arithmetic : Arithmetic, optional
        Where sums are made first; without, on a GPU that has the memory, else on the host.
    """

    def __init__(
        self,
        plan: RunPlan,
        tables: Tables,
        values: Labels,
        backend: Backend,
        card: ModelCard,
        batch: int = 0,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        self._plan = plan
        self._device = backend.device
        self._threads = torch.get_num_threads()
        grid = plan.wall.grid
        arithmetic = arithmetic or self._first_choice()
        importance = importance_map(grid.window, plan.importance)
        self._finisher = LabelFinisher(grid.before, plan.inside, tables, values, arithmetic)
        self._sums = BrickAccumulator(
            plan.wall, importance, plan.num_classes, arithmetic, self._finisher.only_largest
        )
        self._passes = Passes(backend, card, plan.mirror_axes, batch, self._move_to_host)
        self._same: dict[bytes | None, Tensor] = {}

    def run(self, array: NDArray[np.float32]) -> Iterator[Progress | LabelBox | RowsDone]:
        """Run all windows of a prepared image (C, Z, Y, X), the part that the plan speaks of."""
        image = self._within_reach(torch.from_numpy(padded(array, self._plan)))
        indices = self._plan.wall.grid.indices
        passes = self._plan.passes
        rows = _RowCounter(self._plan)
        began, total = time.monotonic(), len(indices) * passes
        yield Progress("Segmenting", 0, total)
        done = 0
        while done < len(indices):
            some = indices[done : done + self._passes.batch]
            answers: list[Tensor] | None = None
            for step, answers in enumerate(self._logits(image, some), 1):
                if answers is None:
                    yield _progress(done * passes + step * len(some), total, began)
            assert answers is not None
            for index in some:
                # taken out, so that their memory is free when the network runs again
                yield from self._added(index, answers.pop(0), rows)
            done += len(some)
            yield _progress(done * passes, total, began)

    def _added(
        self, index: Index, logits: Tensor, rows: _RowCounter
    ) -> Iterator[LabelBox | RowsDone]:
        """Add a window, and give the labels that are final with it."""
        values = self._on_host_if_full(partial(self._sums.taken, logits))
        for row in self._sums.rows(index):
            for brick in self._on_host_if_full(partial(self._sums.add, index, row, values)):
                box = self._on_host_if_full(partial(self._finisher.take, brick))
                self._sums.release(brick)
                yield box
                yield from rows.count(brick, box)

    def close(self) -> None:
        """Let go of threads and memory."""
        self._sums.arithmetic.close()
        self._same.clear()

    def _logits(self, image: Tensor, indices: tuple[Index, ...]) -> Iterator[list[Tensor] | None]:
        """Run windows, but those that are all of one value only once: same in, same out."""
        windows = [self._window(image, index) for index in indices]
        keys = [_constant(window) for window in windows]
        known = {n: self._same[key] for n, key in enumerate(keys) if key in self._same}
        new = [n for n in range(len(windows)) if n not in known]
        answers: dict[int, Tensor] = {}
        if new:
            first = windows[new[0]][None]
            batch = torch.stack([windows[n] for n in new]) if len(new) > 1 else first
            for logits in self._passes.run(sent(batch, self._device)):
                if logits is None:
                    yield None
                else:
                    answers = dict(zip(new, logits, strict=True))
        for n in new:
            key = keys[n]
            if key is not None:
                self._same = {key: answers[n].clone()}
        answers |= known
        yield [answers[n] for n in range(len(windows))]

    def _window(self, image: Tensor, index: Index) -> Tensor:
        grid = self._plan.wall.grid
        z, y, x = (
            slice(along[i], along[i] + n)
            for along, i, n in zip(grid.along, index, grid.window, strict=True)
        )
        return image[:, z, y, x]

    def _first_choice(self) -> Arithmetic:
        if self._device.type == "cuda":
            free = torch.cuda.mem_get_info(self._device)[0]
            if self._plan.sums_bytes < free * _SUMS_SHARE:
                return DeviceArithmetic(self._device)
        return HostArithmetic(self._threads)

    def _within_reach(self, image: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return image
        if image.nbytes < torch.cuda.mem_get_info(self._device)[0] * _IMAGE_SHARE:
            return image.to(self._device)
        return image

    def _on_host_if_full(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except torch.OutOfMemoryError:
            if not self._move_to_host():
                raise
        return act()

    def _move_to_host(self) -> bool:
        """Go on with the sums in the computer's memory; say whether they were elsewhere."""
        before = self._sums.arithmetic
        if isinstance(before, HostArithmetic):
            return False
        logger.info("the GPU's memory is full: sums go on in the computer's")
        host = HostArithmetic(self._threads)
        self._sums.move_to(host)
        self._finisher.move_to(host)
        before.close()
        return True


class _RowCounter:
    """Notices when all bricks of a piece of the slowest axis are finished."""

    def __init__(self, plan: RunPlan) -> None:
        self._axis = plan.wall.grid.axes[0]
        per_axis = [len(chunk.cuts) - 1 for chunk in plan.wall.chunks]
        self._needed = int(np.prod(per_axis)) // per_axis[self._axis]
        self._seen: Counter[int] = Counter()

    def count(self, brick: Brick, box: LabelBox) -> Iterator[RowsDone]:
        piece = brick.place[self._axis]
        self._seen[piece] += 1
        begin, n = box.start[self._axis], box.labels.shape[self._axis]
        if self._seen[piece] == self._needed and n:
            yield RowsDone(self._axis, begin, begin + n)


def sent(batch: Tensor, device: torch.device) -> Tensor:
    """Bring windows to a device; on the way to a GPU nobody waits for the copy."""
    if device.type == "cuda" and batch.device.type == "cpu":
        # only pinned memory is copied on the side; a view would take all that it looks into
        batch = batch.contiguous().pin_memory()
    return batch.to(device, non_blocking=True)


def middle_window(array: NDArray[np.float32], plan: RunPlan) -> Tensor:
    """Give the window in the middle of a prepared image, (1, C, Z, Y, X)."""
    grid = plan.wall.grid
    begin = [along[len(along) // 2] for along in grid.along]
    image = torch.from_numpy(padded(array, plan))
    z, y, x = (slice(b, b + n) for b, n in zip(begin, grid.window, strict=True))
    return image[None, :, z, y, x]


def padded(array: NDArray[np.float32], plan: RunPlan) -> NDArray[np.float32]:
    """Cut the plan's part out of an image (C, Z, Y, X), and fill it up with 0 to a window."""
    z, y, x = (slice(b, e) for b, e in zip(plan.begin, plan.end, strict=True))
    part = array[:, z, y, x]
    grid = plan.wall.grid
    if part.shape[1:] == grid.padded:
        return part
    missing = [
        (before, size - before - n)
        for before, size, n in zip(grid.before, grid.padded, part.shape[1:], strict=True)
    ]
    return np.pad(part, [(0, 0), *missing])


def _constant(window: Tensor) -> bytes | None:
    """Give the values of a window that has one value per channel, else nothing."""
    corner = window[:, :1, :1, :1]
    # a few edges first: hardly a window goes further
    edges = window[:, ::7, :: max(window.shape[2] - 1, 1), :: max(window.shape[3] - 1, 1)]
    if not all(bool((some == corner).all()) for some in (edges, window)):
        return None
    return corner.cpu().numpy().tobytes()


def _progress(done: int, total: int, began: float) -> Progress:
    left = (time.monotonic() - began) / done * (total - done)
    return Progress("Segmenting", done, total, left)
