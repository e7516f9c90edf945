"""Looking at what submodules put out while a network runs, and at nothing else.

A network adds a softmax up in float32, one position after the other: over 65536 positions its sums
were measured to be off by 1.4e-4. What is shown is therefore the softmax of the same logits with
sums in float64, after a check that the network's own weights are the same but for that rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import TypeAlias

from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.older_python import zip

Keep: TypeAlias = Callable[[Any], Any]
Seen: TypeAlias = dict[str, Any]

SUM_TOLERANCE = 1e-5
_ALMOST_NOTHING = 1e-30
_NUMBERS_AT_ONCE = 2**21


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
        inside the forward pass, so that only what it gives stays in memory. Of a softmax it is
        given the exact weights; see ``exact_softmax``.

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

    Raises
    ------
    ExplainError
        If they do not: they would then not be what their name says.
    """
    total = weights.sum(dim, dtype=_exact_type(weights))
    worst = float((total - 1).abs().max())
    if not worst <= SUM_TOLERANCE:
        raise _no_shares(f"do not sum to 1 (they are off by {worst:.2g})")
    return weights


def exact_softmax(logits: Tensor, dim: int, given: Tensor) -> Tensor:
    """Give the softmax of logits with its sums in float64, as float32.

    Parameters
    ----------
    logits : Tensor
        What the network's softmax was given.
    dim : int
        The axis that sums to 1: -1 or -2.
    given : Tensor
        What the network made of them, of the same shape.

    Raises
    ------
    ExplainError
        If the network's weights are another softmax: they may differ by what float32 rounds in a
        sum of so many numbers, and by no more.
    """
    rounding = SUM_TOLERANCE + logits.shape[dim] * torch.finfo(torch.float32).eps / 2
    weights = torch.empty_like(logits, dtype=torch.float32, requires_grad=False)
    for part, of_network, into in zip(*map(_in_parts, (logits, given, weights)), strict=True):
        exact = part.softmax(dim, dtype=_exact_type(logits))
        apart = of_network.to(exact.dtype).sub_(exact).abs_()
        into.copy_(exact)
        if not bool((apart <= exact.mul_(rounding).add_(_ALMOST_NOTHING)).all()):
            worst = float(apart.max())
            raise _no_shares(f"are no softmax of their logits (they are off by {worst:.2g})")
    return weights


def _in_parts(values: Tensor) -> Iterable[Tensor]:
    """Cut (..., A, B) along the front: all in float64 could take more than the network does."""
    matrices = values.detach().reshape(-1, *values.shape[-2:])
    return matrices.split(max(_NUMBERS_AT_ONCE // prod(values.shape[-2:]), 1))


def _exact_type(values: Tensor) -> torch.dtype:
    # Apple's GPU has no 64-bit numbers
    return torch.float32 if values.device.type == "mps" else torch.float64


def _no_shares(what: str) -> ExplainError:
    return ExplainError(
        f"The network's attention weights {what}, so they cannot be shown as shares; run it with "
        "float32, or check the checkpoint."
    )


def _hook(seen: Seen, name: str, keep: Keep) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.Softmax):
            assert module.dim is not None
            output = exact_softmax(inputs[0], module.dim, output)
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
