"""The sums over windows, in compiled loops on the CPU or with torch on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.inference import _kernels
from napari_hybridseg.inference.axis_tables import AxisTable
from napari_hybridseg.inference.page_pool import PagePool
from napari_hybridseg.inference.pages import own_pages
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import pairwise, zip

Channels = NDArray[np.integer[Any]]
# the channel of the largest mean, and whether all means are numbers
Largest = tuple[Channels, bool]

_NOWHERE = np.empty((0, 0, 0), dtype=np.int32)


@dataclass(frozen=True)
class Part:
    """What a window adds to a brick.

    Attributes
    ----------
    total : array
        The brick's sums, (K, Z, Y, X).
    here, there, size : tuple of int
        Where the common part begins in the brick and in the window, and its voxels.
    written : int
        In how many columns of it, from the first along X, there are sums yet; the others hold
        anything.
    weights : array or None
        The brick's weights, (Z, Y, X), if it is complete with this, lies in the window as a
        whole, and only the channel of its largest mean is asked for.
    """

    total: Any
    here: Shape
    there: Shape
    size: Shape
    written: int
    weights: Any = None


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

    def joined(self, parts: Sequence[Any]) -> Any:
        """Join arrays (K, N, M) of the kind along the second axis."""

    def taken(self, logits: Tensor) -> Any:
        """Give a window's logits, (K, Z, Y, X), as float32 of the kind."""

    def add(self, parts: Sequence[Part], logits: Any, importance: Any) -> list[Largest | None]:
        """Add a window's weighted logits, (K, Z, Y, X), to bricks side by side along X.

        Of parts with weights the largest means may be given instead, and sums left as they are.
        The channels are to be read before the next call.
        """

    def largest(self, total: Any, weights: Any) -> Largest:
        """Give the channel of the largest mean, and whether all means are numbers.

        The channels are to be read before the next call, here and below.
        """

    def means_into(self, total: Any, weights: Any, out: Any, first: int) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers.

        ``out`` takes as many planes as it has room for, from plane ``first``.
        """

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
        self._pages = PagePool()
        # apart: what is added is read while its neighbours are compared
        self._added, self._compared = _Rooms(), _Rooms()

    def own(self, array: Any) -> NDArray[np.float32]:
        """Give an array of the kind."""
        return np.ascontiguousarray(as_array(array), dtype=np.float32)

    def empty(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Make an array that holds anything."""
        return self._pages.take(tuple(shape))

    def release(self, array: Any) -> None:
        """Keep the memory for the next, if it came from here."""
        self._pages.give_back(array)

    def copy(self, array: Any) -> NDArray[np.float32]:
        """Copy an array of the kind."""
        return np.array(array, order="C")

    def joined(self, parts: Sequence[Any]) -> NDArray[np.float32]:
        """Join arrays along the second axis."""
        return np.concatenate(parts, axis=1)

    def taken(self, logits: Tensor) -> NDArray[np.float32]:
        """Give a window's logits as float32 on the CPU."""
        array: NDArray[np.float32] = logits.detach().to("cpu", torch.float32).contiguous().numpy()
        return array

    def add(self, parts: Sequence[Part], logits: Any, importance: Any) -> list[Largest | None]:
        """Add a window's weighted logits to bricks, or compare what is complete with them."""
        channels = iter(self._added.of([p.total.shape[1:] for p in parts if p.weights is not None]))
        which = [None if part.weights is None else next(channels) for part in parts]
        found: list[Largest | None] = []
        for at in range(0, len(parts), _kernels.BESIDE):
            some = slice(at, at + _kernels.BESIDE)
            found += self._add_beside(parts[some], which[some], logits, importance)
        return found

    def _add_beside(
        self,
        parts: Sequence[Part],
        which: Sequence[Channels | None],
        logits: NDArray[np.float32],
        importance: NDArray[np.float32],
    ) -> list[Largest | None]:
        """Add to a few bricks, or compare those that have room for channels."""
        totals = _filled([part.total for part in parts])
        weights = _filled([importance if p.weights is None else p.weights for p in parts])
        rooms = _filled([_NOWHERE if room is None else room for room in which])
        at = np.array(
            [
                (p.here, p.there, p.size, (room is not None, 0, p.written))
                for p, room in zip(parts, which, strict=True)
            ]
        )
        odd = 0
        for strange in self._each(
            lambda ends: _kernels.add_weighted(
                totals, logits, importance, at, weights, rooms, ends
            ),
            self._boxes(*parts[0].size[:2]),
        ):
            odd |= strange
        return [None if room is None else (room, not odd >> n & 1) for n, room in enumerate(which)]

    def largest(self, total: Any, weights: Any) -> Largest:
        """Give the channel of the largest mean, and whether all means are numbers."""
        (which,) = self._compared.of([total.shape[1:]])
        odd = self._each(
            lambda ends: _kernels.largest_mean(total, weights, *ends, which),
            self._shares(total.shape[1]),
        )
        return which, not any(odd)

    def means_into(self, total: Any, weights: Any, out: Any, first: int) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers."""
        odd = self._each(
            lambda ends: _kernels.mean_into(total, weights, out, first, *ends),
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
        (which,) = self._compared.of([[len(table) for table in tables]])
        self._each(
            lambda ends: _kernels.largest_between(means, low, high, part, *ends, which),
            self._shares(len(which)),
        )
        return which

    def close(self) -> None:
        """End the threads and let go of the memory."""
        self._pages.clear()
        if self._pool is not None:
            self._pool.shutdown()

    def _boxes(self, depth: int, height: int) -> list[tuple[int, int, int, int]]:
        """Share planes out among the threads, or rows where there are too few planes."""
        if depth >= self._threads:
            return [(*share, 0, height) for share in self._shares(depth)]
        return [(0, depth, *share) for share in self._shares(height)]

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

    def joined(self, parts: Sequence[Any]) -> Tensor:
        """Join arrays along the second axis."""
        return torch.cat(list(parts), dim=1)

    def taken(self, logits: Tensor) -> Tensor:
        """Give a window's logits as float32 on the device."""
        return logits.to(self._device, torch.float32)

    @torch.inference_mode()
    def add(self, parts: Sequence[Part], logits: Any, importance: Any) -> list[Largest | None]:
        """Add a window's weighted logits to bricks; nothing takes memory, so nothing runs out."""
        for part in parts:
            total = part.total[(slice(None), *_place(part.here, part.size))]
            there = _place(part.there, part.size)
            values, weights = logits[(slice(None), *there)], importance[there]
            old = part.written
            if old:
                total[..., :old].addcmul_(values[..., :old], weights[..., :old])
            if old < part.size[2]:
                torch.mul(values[..., old:], weights[..., old:], out=total[..., old:])
        return [None for _ in parts]

    @torch.inference_mode()
    def largest(self, total: Any, weights: Any) -> Largest:
        """Give the channel of the largest mean, and whether all means are numbers."""
        means = total / weights
        return means.argmax(dim=0).cpu().numpy(), bool(means.isfinite().all())

    @torch.inference_mode()
    def means_into(self, total: Any, weights: Any, out: Any, first: int) -> bool:
        """Write means behind the first plane, row and column of ``out``; say if all are numbers."""
        planes = slice(first, first + out.shape[1] - 1)
        means = torch.div(total[:, planes], weights[planes], out=out[:, 1:, 1:, 1:])
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


class _Rooms:
    """Room for channels, which serves again in the next call."""

    def __init__(self) -> None:
        self._flat = np.empty(0, dtype=np.int32)

    def of(self, shapes: Sequence[Sequence[int]]) -> list[NDArray[np.int32]]:
        """Give one for each shape."""
        ends = [0, *accumulate(prod(shape) for shape in shapes)]
        if self._flat.size < ends[-1]:
            self._flat = own_pages(ends[-1], np.int32)
        return [
            self._flat[begin:end].reshape(shape)
            for shape, (begin, end) in zip(shapes, pairwise(ends), strict=True)
        ]


def as_array(values: Any) -> NDArray[np.float32]:
    """Give an array of either kind as numpy's."""
    array: NDArray[np.float32] = values.cpu().numpy() if isinstance(values, Tensor) else values
    return array


def _filled(some: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Give as many as are gone through together; a compiled loop takes tuples of one length."""
    return (*some, *[some[0]] * (_kernels.BESIDE - len(some)))


def _place(start: Shape, size: Shape) -> tuple[slice, ...]:
    return tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
