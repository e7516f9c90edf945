"""Running windows through the network: mirrored copies, batches that fit, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations

import torch
from torch import Tensor

from napari_hybridseg.inference.backends import Backend
from napari_hybridseg.inference.finish import InferenceError
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture

# how many voxels a CPU is given at once: small windows are slow one by one, large ones are not
_CPU_VOXELS = 64**3
_LARGEST_BATCH = 16
_SHARE_OF_FREE = 0.7

Flips = tuple[tuple[int, ...], ...]


def mirrorings(axes: tuple[int, ...]) -> Flips:
    """Give every combination of mirrored axes, the unmirrored first."""
    return tuple(subset for n in range(len(axes) + 1) for subset in combinations(axes, n))


class Passes:
    """Gives the logits of windows, averaged over mirrored copies.

    Parameters
    ----------
    backend : Backend
        What runs the network.
    card : ModelCard
        For saying what a window has to be like.
    mirror_axes : tuple of int
        Array axes (0 is Z) along which copies are mirrored.
    batch : int
        Windows at a time; 0 decides by their size, on a GPU by its free memory.
    make_room : callable
        Frees memory on the device and says whether it could; asked when one window at a time
        does not fit.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        mirror_axes: tuple[int, ...] = (),
        batch: int = 0,
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        self.flips = mirrorings(mirror_axes)
        self._backend = backend
        self._card = card
        self._make_room = make_room
        self._to_measure = batch == 0 and backend.device.type == "cuda"
        z, y, x = card.windows.size
        fitting = 1 if self._to_measure else _CPU_VOXELS // (z * y * x)
        self.batch = batch or min(max(fitting, 1), _LARGEST_BATCH)

    def run(self, windows: Tensor) -> Iterator[Tensor | None]:
        """Run windows (N, C, Z, Y, X): give None after every pass but the last, then the logits.

        Raises
        ------
        InferenceError
            If the GPU has too little memory for one window, or the network takes no such window
            or cannot run on the device.
        """
        total: Tensor | None = None
        for number, axes in enumerate(self.flips, 1):
            total = self._add_pass(total, windows, [axis + 2 for axis in axes])
            if number < len(self.flips):
                yield None
        assert total is not None
        yield _divided(total, len(self.flips))

    @torch.inference_mode()
    def _add_pass(self, total: Tensor | None, windows: Tensor, flips: list[int]) -> Tensor:
        logits = self._forward(windows.flip(flips) if flips else windows)
        if flips:
            logits = logits.flip(flips)
        if len(self.flips) == 1:
            return logits
        # a copy, in full precision: the backend may use its memory again
        return logits.float().clone() if total is None else total.add_(logits)

    def _forward(self, windows: Tensor) -> Tensor:
        """Run the network; when memory runs out, on half as many, or after making room."""
        try:
            return self._measured(windows) if self._to_measure else self._backend(windows)
        except torch.OutOfMemoryError:
            pass  # what the failed run held is let go of with the exception
        except NotImplementedError as error:
            raise InferenceError(_missing_operator(error, self._backend.device.type)) from error
        except (RuntimeError, ValueError, AssertionError) as error:
            if sentence := window_problem(self._card):
                raise InferenceError(sentence) from error
            raise
        return self._forward_in_less(windows)

    def _forward_in_less(self, windows: Tensor) -> Tensor:
        self._to_measure = False
        _return_memory(self._backend.device)
        if len(windows) > 1:
            self.batch = min(self.batch, len(windows) // 2)
            return torch.cat([self._forward(part) for part in windows.split(self.batch)])
        if self._make_room():
            _return_memory(self._backend.device)
            return self._forward(windows)
        raise InferenceError(
            f"The GPU has too little memory for one window of {self._card.name}; close other "
            "programs that use it, or choose device 'cpu'."
        )

    def _measured(self, windows: Tensor) -> Tensor:
        """Run the first window, and size the next batches to the memory that it took."""
        device = self._backend.device
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        logits = self._backend(windows)
        taken = (torch.cuda.max_memory_allocated(device) - before) / len(windows)
        free = torch.cuda.mem_get_info(device)[0]
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        self.batch = min(max(int(free * _SHARE_OF_FREE / max(taken, 1)), 1), _LARGEST_BATCH)
        self._to_measure = False
        return logits


def window_problem(card: ModelCard) -> str:
    """Say in one sentence why a card's network cannot take its windows; nothing if it can."""
    architecture = get_architecture(card.architecture)
    constraints = architecture.constraints(architecture.make_config(card.config))
    flat = card.windows.slice_axis
    size = tuple(n for axis, n in enumerate(card.windows.size) if axis != flat)
    if len(constraints.divisors) != len(size):
        return (
            f"{card.name} says windows of {_times(size)} voxels, and {card.architecture} works in "
            f"{len(constraints.divisors)}D; its card is wrong, make the checkpoint again."
        )
    if constraints.allows(size):
        return ""
    return (
        f"{card.architecture} cannot take windows of {_times(size)} voxels, as {card.name} says; "
        f"they have to be multiples of {_times(constraints.divisors)} and at least "
        f"{_times(constraints.minimum)}, such as {_times(constraints.fit(size))}."
    )


@torch.inference_mode()
def _divided(total: Tensor, count: int) -> Tensor:
    return total if count == 1 else total.div_(count)


def _missing_operator(error: NotImplementedError, device: str) -> str:
    found = re.search(r"aten::[\w.]+", str(error))
    what = f"the operator {found[0]}" if found else "an operator that this network needs"
    return f"The device {device!r} does not have {what}; choose device 'cpu'."


def _return_memory(device: torch.device) -> None:
    if device.type == "cuda" and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _times(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))
