"""Looking at what submodules put out while a network runs, and at nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from napari_hybridseg.explain.views import ExplainError

Keep: TypeAlias = Callable[[Any], Any]
Seen: TypeAlias = dict[str, Any]

SUM_TOLERANCE = 1e-5


def as_is(output: Any) -> Any:
    """Keep the whole output."""
    return output


@contextmanager
def captured(network: nn.Module, wishes: Mapping[str, Keep]) -> Iterator[Seen]:
    """Record what submodules put out, for as long as the context lasts.

    Parameters
    ----------
    network : Module
        Is given hooks, which are taken away again whatever happens.
    wishes : mapping
        Name of a submodule to what is kept of its output: a function that is called at once,
        inside the forward pass, so that only what it gives stays in memory.

    Yields
    ------
    dict
        Filled, under the same names, whenever the network runs; the last run counts.

    Raises
    ------
    ExplainError
        If the network has no submodule of a name.
    """
    seen: Seen = {}
    handles = []
    try:
        for name, keep in wishes.items():
            handles.append(_submodule(network, name).register_forward_hook(_hook(seen, name, keep)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def summing_to_one(weights: Tensor, dim: int) -> Tensor:
    """Give weights back after checking that they sum to 1 over an axis, within 1e-5.

    A softmax over very many places is itself off by what float32 rounds in so long a sum; such
    weights are divided by their exact sum.

    Raises
    ------
    ExplainError
        If they do not, beyond rounding: they would then not be what their name says.
    """
    # Apple's GPU has no 64-bit numbers
    exact = torch.float32 if weights.device.type == "mps" else torch.float64
    total = weights.sum(dim, dtype=exact, keepdim=True)
    worst = float((total - 1).abs().max())
    rounding = weights.shape[dim] * torch.finfo(torch.float32).eps / 2
    if not worst <= max(SUM_TOLERANCE, rounding):
        raise ExplainError(
            f"The network's attention weights do not sum to 1 (they are off by {worst:.2g}), so "
            "they cannot be shown as shares; run it with float32, or check the checkpoint."
        )
    return weights if worst <= SUM_TOLERANCE else weights / total.to(weights.dtype)


def _hook(seen: Seen, name: str, keep: Keep) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen[name] = keep(output)

    return hook


def _submodule(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise ExplainError(
            f"The network has no part {name!r} to look at, so the checkpoint's card does not "
            "describe it truly."
        ) from error
