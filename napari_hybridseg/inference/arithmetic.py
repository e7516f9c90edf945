"""The sums over windows, in compiled loops on the CPU or with torch on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.inference import _kernels
from napari_hybridseg.inference.axis_tables import AxisTable
from napari_hybridseg.inference.windows import Shape

Channels = NDArray[np.integer[Any]]

# memory that is this much larger than what is asked for is taken as it is
_ROOM = 1.15


@dataclass(frozen=True)
class Share:
    """What a window has in common with a brick.

    Attributes
    ----------
    values : array
        The window's logits, (K, Z, Y, X).
    here, there, size : tuple of int
        Where the common part begins in the brick and in the window, and its voxels.
    """

    values: Any
    here: Shape
    there: Shape
    size: Shape


@dataclass(frozen=True)
class Part:
    """What is added to a brick at once.

    Attributes
    ----------
    total : array
        The brick's sums, (K, Z, Y, X).
    shares : tuple of Share
        Of windows that differ in their place along X alone, in the order of the run.
    is_first : bool
        Whether the brick holds nothing yet; the first share then fills it.
    """

    total: Any
    shares: tuple[Share, ...]
    is_first: bool


class Arithmetic(Protocol):
    """Adds, divides and compares arrays of one kind."""

    def own(self, array: Any) -> Any:
        """Give an array of any kind as one of this; not copied if it is."""

    def empty(self, shape: Sequence[int]) -> Any:
        """Make an array that holds anything."""

    def release(self, array: Any) -> None:
        """Take back what ``empty`` gave; nobody may look at it any more."""

    def copy(self, array: Any) -> Any:
        """Copy an array of the kind."""

    def taken(self, logits: Tensor) -> Any:
        """Give a window's logits, (K, Z, Y, X), as float32 of the kind."""

    def add(self, parts: Sequence[Part], importance: Any) -> None:
        """Add windows' weighted logits to bricks."""

    def largest(self, total: Any, weights: Any) -> tuple[Channels, bool]:
        """Give the channel of the largest mean, and whether all means are numbers."""

    def means_into(self, total: Any, weights: Any, out: Any) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers."""

    def largest_between(self, means: Any, tables: Sequence[AxisTable]) -> Channels:
        """Interpolate, and give the channel of the largest."""

    def close(self) -> None:
        """Let go of what it holds."""


class HostArithmetic:
    """Compiled loops on the CPU.

    Parameters
    ----------
    threads : int
        How many to use.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "sums") if threads > 1 else None
        # memory that is new costs more to touch than to add up
        self._spare: list[NDArray[np.float32]] = []
        self._used = self._most_used = 0

    def own(self, array: Any) -> NDArray[np.float32]:
        """Give an array of the kind."""
        return np.ascontiguousarray(as_array(array), dtype=np.float32)

    def empty(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Make an array that holds anything."""
        size = prod(shape)
        fitting = [n for n, flat in enumerate(self._spare) if size <= flat.size <= size * _ROOM]
        if fitting:
            flat = self._spare.pop(fitting[-1])
            self._used += flat.size
            return flat[:size].reshape(shape)
        self._used += size
        self._most_used = max(self._most_used, self._used)
        # what is spare makes room, so that no more is held than was ever in use at once
        while self._spare and self._used + sum(f.size for f in self._spare) > self._most_used:
            del self._spare[0]
        return np.empty(size, dtype=np.float32).reshape(shape)

    def release(self, array: Any) -> None:
        """Keep the memory for the next, if it came from here."""
        flat = array.base
        if isinstance(flat, np.ndarray) and flat.ndim == 1 and flat.dtype == np.float32:
            self._spare.append(flat)
            self._used -= flat.size

    def copy(self, array: Any) -> NDArray[np.float32]:
        """Copy an array of the kind."""
        return np.array(array, order="C")

    def taken(self, logits: Tensor) -> NDArray[np.float32]:
        """Give a window's logits as float32 on the CPU."""
        array: NDArray[np.float32] = logits.detach().to("cpu", torch.float32).contiguous().numpy()
        return array

    def add(self, parts: Sequence[Part], importance: Any) -> None:
        """Add windows' weighted logits to bricks."""

        def one(part: Part) -> None:
            is_first = part.is_first
            for number in range(0, len(part.shares), 2):
                first, *rest = part.shares[number : number + 2]
                second = rest[0] if rest else replace(first, size=(*first.size[:2], 0))
                _kernels.add_weighted(
                    part.total,
                    first.values,
                    second.values,
                    importance,
                    *(np.array([s.here, s.there, s.size]) for s in (first, second)),
                    is_first,
                )
                is_first = False

        self._each(one, parts)

    def largest(self, total: Any, weights: Any) -> tuple[Channels, bool]:
        """Give the channel of the largest mean, and whether all means are numbers."""
        which = np.empty(total.shape[1:], dtype=np.int32)
        odd = self._each(
            lambda ends: _kernels.largest_mean(total, weights, *ends, which),
            self._shares(total.shape[1]),
        )
        return which, not any(odd)

    def means_into(self, total: Any, weights: Any, out: Any) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers."""
        odd = self._each(
            lambda ends: _kernels.mean_into(total, weights, out, *ends),
            self._shares(total.shape[0]),
        )
        return not any(odd)

    def largest_between(self, means: Any, tables: Sequence[AxisTable]) -> Channels:
        """Interpolate, and give the channel of the largest."""
        low, high = (
            tuple(getattr(table, side).astype(np.uint32) for table in tables)
            for side in ("low", "high")
        )
        part = tuple(table.part for table in tables)
        which = np.empty([len(table) for table in tables], dtype=np.int32)
        self._each(
            lambda ends: _kernels.largest_between(means, low, high, part, *ends, which),
            self._shares(len(which)),
        )
        return which

    def close(self) -> None:
        """End the threads and let go of the memory."""
        self._spare.clear()
        if self._pool is not None:
            self._pool.shutdown()

    def _shares(self, count: int) -> list[tuple[int, int]]:
        ends = [count * share // self._threads for share in range(self._threads + 1)]
        return [(a, b) for a, b in pairwise(ends) if a < b]

    def _each(self, act: Callable[[Any], Any], what: Sequence[Any]) -> list[Any]:
        if self._pool is None or len(what) == 1:
            return [act(one) for one in what]
        return list(self._pool.map(act, what))


class DeviceArithmetic:
    """Torch, where the network runs.

    Parameters
    ----------
    device : torch.device
        Where that is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def own(self, array: Any) -> Tensor:
        """Give an array of the kind."""
        return torch.as_tensor(array).to(self._device)

    def empty(self, shape: Sequence[int]) -> Tensor:
        """Make an array that holds anything."""
        return torch.empty(*shape, device=self._device)

    def release(self, array: Any) -> None:
        """Torch keeps the memory for the next by itself."""

    def copy(self, array: Any) -> Tensor:
        """Copy an array of the kind."""
        copied: Tensor = array.clone()
        return copied

    def taken(self, logits: Tensor) -> Tensor:
        """Give a window's logits as float32 on the device."""
        return logits.to(self._device, torch.float32)

    @torch.inference_mode()
    def add(self, parts: Sequence[Part], importance: Any) -> None:
        """Add windows' weighted logits to bricks."""
        for part in parts:
            is_first = part.is_first
            for share in part.shares:
                total = part.total[(slice(None), *_place(share.here, share.size))]
                there = _place(share.there, share.size)
                logits = share.values[(slice(None), *there)]
                if is_first:
                    torch.mul(logits, importance[there], out=total)
                else:
                    total.addcmul_(logits, importance[there])
                is_first = False

    @torch.inference_mode()
    def largest(self, total: Any, weights: Any) -> tuple[Channels, bool]:
        """Give the channel of the largest mean, and whether all means are numbers."""
        means = total / weights
        return means.argmax(dim=0).cpu().numpy(), bool(means.isfinite().all())

    @torch.inference_mode()
    def means_into(self, total: Any, weights: Any, out: Any) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers."""
        means = torch.div(total, weights, out=out[:, 1:, 1:, 1:])
        return bool(means.isfinite().all())

    @torch.inference_mode()
    def largest_between(self, means: Any, tables: Sequence[AxisTable]) -> Channels:
        """Interpolate, and give the channel of the largest."""
        for axis, table in reversed([*enumerate(tables, 1)]):
            low, high, part = (
                torch.from_numpy(values).to(self._device)
                for values in (table.low, table.high, table.part)
            )
            shape = [-1 if at == axis else 1 for at in range(4)]
            means = torch.lerp(
                means.index_select(axis, low), means.index_select(axis, high), part.view(shape)
            )
        channels: Channels = means.argmax(dim=0).cpu().numpy()
        return channels

    def close(self) -> None:
        """Nothing is held."""


def as_array(values: Any) -> NDArray[np.float32]:
    """Give an array of either kind as numpy's."""
    array: NDArray[np.float32] = values.cpu().numpy() if isinstance(values, Tensor) else values
    return array


def _place(start: Shape, size: Shape) -> tuple[slice, ...]:
    return tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
