"""What runs a network on a batch of windows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Protocol

import torch
from torch import Tensor, nn

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Backend(Protocol):
    """Turns windows (N, C, Z, Y, X) into logits (N, K, Z, Y, X) on ``device``."""

    name: str
    device: torch.device

    def __call__(self, windows: Tensor) -> Tensor:
        """Run the network."""

    def close(self) -> None:
        """Give back what the backend holds."""


class TorchBackend:
    """Runs the network with PyTorch, as it is.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    device : torch.device
        Where it runs.
    precision : str
        ``"float32"``, or the type for autocast.
    slice_axis : int or None
        For a 2D network: the array axis (0 is Z) of the windows that has one voxel.
    """

    name = "torch"

    def __init__(
        self, network: nn.Module, device: torch.device, precision: str, slice_axis: int | None
    ) -> None:
        self.device = device
        self.precision = precision
        self._slice_axis = slice_axis
        self._network = network.to(device).eval()
        self._type = PRECISIONS[precision]
        self._squeeze = None if slice_axis is None else slice_axis + 2

    @torch.inference_mode()
    def __call__(self, windows: Tensor) -> Tensor:
        """Run the network."""
        windows = windows.to(self.device)
        if self._squeeze is not None:
            windows = windows.squeeze(self._squeeze)
        with torch.autocast(
            self.device.type, dtype=self._type, enabled=self._type != torch.float32
        ):
            logits: Tensor = self._network(windows)
        return logits if self._squeeze is None else logits.unsqueeze(self._squeeze)

    def running(self, network: nn.Module) -> TorchBackend:
        """Give the same for the network in another form."""
        return TorchBackend(network, self.device, self.precision, self._slice_axis)

    def close(self) -> None:
        """Give the GPU's spare memory back."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class CompiledBackend:
    """Runs a network that was prepared for windows of one shape, one window at a time, on the CPU.

    Parameters
    ----------
    name : str
        What prepared it.
    compute : callable
        Maps an input of the shape ``takes`` to new memory with its logits.
    takes : tuple of int
        The one shape, with a batch of one and without the axis of a 2D network's slices.
    plain : TorchBackend
        Runs windows of any other shape.
    slice_axis : int or None
        As in ``TorchBackend``.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        name: str,
        compute: Callable[[Tensor], Tensor],
        takes: tuple[int, ...],
        plain: TorchBackend,
        slice_axis: int | None,
    ) -> None:
        self.name = name
        self._compute = compute
        self._takes = takes
        self._plain = plain
        self._squeeze = None if slice_axis is None else slice_axis + 2

    @torch.inference_mode()
    def __call__(self, windows: Tensor) -> Tensor:
        """Run the network."""
        inputs = windows if self._squeeze is None else windows.squeeze(self._squeeze)
        if (1, *inputs.shape[1:]) != self._takes:
            return self._plain(windows)
        logits = torch.cat([self._compute(one.contiguous()) for one in inputs.split(1)])
        return logits if self._squeeze is None else logits.unsqueeze(self._squeeze)

    def close(self) -> None:
        """Keep what was prepared: the next run may use it."""


def choose_precision(wish: str, device: torch.device) -> str:
    """Resolve ``auto``: float32 on a CPU, else mixed precision."""
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "float16" if device.type == "mps" else "float32"


def mirrored_mean(backend: Backend, windows: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Average the logits over every combination of mirrored ``axes`` (0 is Z)."""
    subsets = [s for n in range(len(axes) + 1) for s in combinations(axes, n)]
    total: Tensor | None = None
    for subset in subsets:
        flips = [axis + 2 for axis in subset]
        logits = backend(windows.flip(flips)).flip(flips)
        total = logits if total is None else total + logits
    assert total is not None
    return total / len(subsets)
