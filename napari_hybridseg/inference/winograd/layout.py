"""Threads, memory, and images whose channels lie beside one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeAlias

from napari_hybridseg.inference.winograd import _passes
from napari_hybridseg.inference.winograd._vectors import WIDE

Floats: TypeAlias = NDArray[np.float32]

# values that are worth a thread of their own
_WORTH_A_THREAD = 20_000


class Workers:
    """Threads, and memory that every operation may use while it runs.

    Parameters
    ----------
    threads : int
        How many run at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "winograd") if threads > 1 else None
        self._memory: dict[tuple[str, int], Floats] = {}

    def split(self, count: int, values: int, act: Callable[[int, int, int], None]) -> None:
        """Call ``act(first, last, worker)`` for parts of ``count`` things with ``values`` each."""
        parts = min(self.threads, count, max(count * values // _WORTH_A_THREAD, 1))
        if parts <= 1 or self._pool is None:
            act(0, count, 0)
            return
        ends = [count * part // parts for part in range(parts + 1)]
        others = [
            self._pool.submit(act, ends[part], ends[part + 1], part) for part in range(1, parts)
        ]
        try:
            act(0, ends[1], 0)  # to wait for another to do it would take longer
        finally:
            wait(others)
        for other in others:
            other.result()

    def memory(self, purpose: str, worker: int, size: int) -> Floats:
        """Give an array of at least ``size`` numbers, with whatever was left in it."""
        found = self._memory.get((purpose, worker))
        if found is None or found.size < size:
            found = self._memory[purpose, worker] = np.zeros(size, np.float32)
        return found


def panelled(matrix: Floats, lanes: int) -> Floats:
    """Lay out matrices (..., depth, columns) in panels of two vectors of columns, then of one."""
    many = matrix.reshape(-1, *matrix.shape[-2:])
    wide = 2 * lanes
    whole = many.shape[2] // wide * wide
    panels = [many[..., at : at + wide] for at in range(0, whole, wide)]
    if whole < many.shape[2]:
        panels.append(many[..., whole:])
    rows = [panel.reshape(len(many), -1) for panel in panels]
    return np.ascontiguousarray(np.concatenate(rows, axis=1)).ravel()


def channels_last(image: Tensor) -> Floats:
    """Give the numbers of (1, C, ...) with the channels beside one another, flat."""
    channels, voxels = image.shape[1], prod(image.shape[2:])
    if not image.is_contiguous() or 1 in (channels, voxels):
        return image.movedim(1, -1).contiguous().numpy().reshape(-1)
    out = np.empty(voxels * channels, np.float32)  # several times as quick as torch's copy
    _passes.move_channels(image.numpy().reshape(-1), channels, out, 0, voxels)
    return out


def channels_first(image: Tensor, workers: Workers) -> Tensor:
    """Give (1, C, ...) in C order, in new memory where it was not in it."""
    channels, voxels = image.shape[1], prod(image.shape[2:])
    moved = image[0].movedim(0, -1)
    wide = moved.stride(-2)
    lines = [wide * prod(moved.shape[axis + 1 : -1]) for axis in range(moved.ndim - 1)]
    is_one = image.shape[0] == 1 and wide >= channels  # no batch, and no voxel twice
    if image.is_contiguous() or not is_one or (*lines, 1) != moved.stride():
        return image.contiguous()
    numbers = torch.as_strided(image, (voxels * wide - wide + channels,), (1,)).numpy()
    found = torch.empty(image.shape)
    out = found.numpy().reshape(-1)

    def part(first: int, last: int, worker: int) -> None:
        _passes.split_channels(numbers, wide, channels, out, first, last)

    workers.split(voxels, channels, part)
    return found


def empty(channels: int, size: Sequence[int]) -> tuple[Tensor, Floats]:
    """Give a tensor (1, C, ...) with channels last, and its numbers, flat."""
    memory = torch.empty((1, *size, channels))
    return memory.movedim(-1, 1), memory.numpy().reshape(-1)


def as_tensor(numbers: Floats, shape: Sequence[int]) -> Tensor:
    """Give numbers that have channels last as a tensor (1, C, ...)."""
    batch, channels, *size = shape
    return torch.from_numpy(numbers.reshape(batch, *size, channels)).movedim(-1, 1)


def rounded(channels: int) -> int:
    """Give the least multiple of eight that is no less: the channels of the shortest vector."""
    return -(-channels // 8) * 8


def lanes_of(*channels: int) -> int:
    """Give how many channels fit a vector of this processor, for multiples of eight."""
    return 16 if WIDE and all(count % 16 == 0 for count in channels) else 8


def padded_bias(bias: Floats | None, count: int) -> Floats:
    """Give a bias with zeros at its end; zeros for None."""
    found = np.zeros(count, np.float32)
    if bias is not None:
        found[: len(bias)] = bias
    return found


def narrowed(image: Tensor, channels: int) -> Tensor:
    """Leave channels out that were only there to fill a vector."""
    return image if image.shape[1] == channels else image[:, :channels]


def three(size: Sequence[int], missing: int = 1) -> tuple[int, int, int]:
    """Give a slice a Z of one voxel."""
    z, y, x = (missing,) * (3 - len(size)) + tuple(size)
    return z, y, x
