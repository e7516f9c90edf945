"""Deformable attention's sampling as one operation of torch, by a compiled loop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from napari_hybridseg.inference.winograd import _compiled
from napari_hybridseg.inference.winograd.layout import Workers, lanes_of, rounded
from napari_hybridseg.inference.winograd.operations import Operation
from napari_hybridseg.networks.deformable import DeformableAttention3d


@torch.library.custom_op(
    "hybridseg::sample",
    mutates_args=(),
    schema="(Tensor value, int[] sizes, Tensor locations, Tensor weights) -> Tensor",
)
def sample(value: Tensor, sizes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Sample with one thread; a rewritten graph puts a ``Sampler`` in its place."""
    return Sampler(sizes=sizes, workers=Workers(1))(value, locations, weights)


def with_one_operation(network: nn.Module) -> nn.Module:
    """Give a network, with the same weights, whose deformable attention samples by ``sample``."""
    tensors = [*network.parameters(), *network.buffers()]
    found = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in found.modules():
        if isinstance(module, DeformableAttention3d):
            setattr(module, "sample", _as_one_operation)  # noqa: B010 - shadows a method
    return found


def _as_one_operation(
    value: Tensor, shapes: Sequence[Sequence[int]], locations: Tensor, weights: Tensor
) -> Tensor:
    sizes = [int(length) for shape in shapes for length in shape]
    found: Tensor = torch.ops.hybridseg.sample(value, sizes, locations, weights)
    return found


class Sampler(Operation):
    """Sums up sampled values, as ``networks.deformable.sample_by_level`` does.

    Parameters
    ----------
    sizes : sequence of int
        Z, Y and X of each level's map.
    workers : Workers
        What it runs on.
    """

    def __init__(self, sizes: Sequence[int], workers: Workers) -> None:
        self._sizes = np.array(sizes).reshape(-1, 3)
        self._workers = workers

    def __call__(self, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        """Sample values (1, tokens, heads, channels) at locations with weights."""
        _, _, heads, channels = value.shape
        queries, points = weights.shape[1], weights.shape[-1]
        lanes = lanes_of(channels) if rounded(channels) == channels else 1
        flat = [one.contiguous().numpy().reshape(-1) for one in (value, locations, weights)]
        found = torch.empty(1, queries, heads * channels)
        out = found.numpy().reshape(-1)

        def part(first: int, last: int, worker: int) -> None:
            _compiled.sample(
                flat[0],
                heads,
                channels,
                self._sizes,
                flat[1],
                flat[2],
                points,
                out,
                first,
                last,
                lanes,
            )

        self._workers.split(queries, prod(weights.shape[2:]) * 8 * channels, part)
        return found
