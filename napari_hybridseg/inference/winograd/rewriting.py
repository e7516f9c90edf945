"""A network as a list of torch's operations for one shape, with ours in place of some of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.inference.winograd.folding import (
    CONVOLUTIONS,
    Observer,
    Values,
    arguments,
    fold_batch_norms,
    fold_constants,
    leave_out_dropout,
)
from napari_hybridseg.inference.winograd.layout import Workers, channels_first
from napari_hybridseg.inference.winograd.operations import (
    InstanceNorm,
    Operation,
    PointwiseConvolution,
    WinogradConvolution,
)
from napari_hybridseg.inference.winograd.row_convolutions import (
    StridedConvolution,
    TransposedConvolution,
)
from napari_hybridseg.inference.winograd.sampling import Sampler, with_one_operation
from napari_hybridseg.older_python import zip

aten = torch.ops.aten
_TRANSPOSED = {aten.conv_transpose3d.input, aten.conv_transpose2d.input}
_SLOPES: dict[Any, Callable[[tuple[Any, ...]], float]] = {
    aten.relu.default: lambda rest: 0.0,
    aten.relu_.default: lambda rest: 0.0,
    aten.leaky_relu.default: lambda rest: float(rest[0]) if rest else 0.01,
    aten.leaky_relu_.default: lambda rest: float(rest[0]) if rest else 0.01,
}
# what the transformed filters of a network may take, in bytes: they are 5.3 times the weights
_BUDGET = 300_000_000
_ROUNDS = 2


class Rewritten:
    """A network for inputs of one shape, with our operations in it.

    Parameters
    ----------
    network : Module
        In evaluation mode, float32, on the CPU; its weights are copied where we use them.
    example : Tensor
        An input (1, C, [Z,] Y, X).
    threads : int
        How many our operations run on; torch's take torch's.

    Raises
    ------
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
        What torch's tracer raises for code that it does not take.
    """

    def __init__(self, network: nn.Module, example: Tensor, threads: int) -> None:
        self._workers = Workers(threads)
        self.graph = make_fx(with_one_operation(network), pre_dispatch=True)(example)
        leave_out_dropout(self.graph)
        values = Observer(self.graph).values_of(example)
        fold_constants(self.graph, values)
        fold_batch_norms(self.graph, values)
        _Rewriter(self.graph, values, self._workers).rewrite()
        self.graph.graph.eliminate_dead_code()
        self.graph.recompile()
        self._torchs_threads = 1
        if threads > 1:
            self._torchs_threads = self._fastest_threads(example, threads)

    def __call__(self, image: Tensor) -> Tensor:
        """Give the network's logits (1, K, [Z,] Y, X), in new memory."""
        with cpu_threads(self._torchs_threads):
            return channels_first(self.graph(image), self._workers)

    def _fastest_threads(self, example: Tensor, threads: int) -> int:
        """Measure whether torch's own threads are a gain.

        Where they wait for work without sleeping, as they do unless told otherwise, they take the
        cores from ours.
        """
        times: dict[int, list[float]] = {1: [], threads: []}
        for _ in range(_ROUNDS):
            for count, found in times.items():
                self._torchs_threads = count
                self(example)  # those of the other way go to sleep
                began = time.perf_counter()
                self(example)
                found.append(time.perf_counter() - began)
        return min(times, key=lambda count: min(times[count]))


class _Rewriter:
    """Replaces nodes by our operations, where those take them."""

    def __init__(self, traced: fx.GraphModule, values: Values, workers: Workers) -> None:
        self._graph = traced.graph
        self._values = values
        self._workers = workers
        self._budget = _BUDGET

    def rewrite(self) -> None:
        """Go through the graph, the largest results first: the budget is theirs."""
        nodes = [node for node in self._graph.nodes if node.op == "call_function"]
        for node in sorted(nodes, key=self._size, reverse=True):
            ours = None
            if node.target in CONVOLUTIONS:
                ours = self._convolution(node)
            elif node.target in _TRANSPOSED:
                ours = self._transposed(node)
            if ours is not None:
                self._put(node, ours)
        for node in nodes:
            if node.target is aten.instance_norm.default:
                self._norm(node)
            elif node.target is torch.ops.hybridseg.sample.default:
                value, sizes, locations, weights = node.args
                self._put(node, Sampler(sizes, self._workers), (value, locations, weights))

    def _size(self, node: fx.Node) -> int:
        value = self._values[node]
        return value[0, 0].numel() if isinstance(value, Tensor) and value.ndim > 2 else 0

    def _put(self, node: fx.Node, ours: Operation, given: Any = None) -> None:
        """Let our operation stand for a node, on the first argument where nothing is said."""
        with self._graph.inserting_before(node):
            new = self._graph.call_function(ours, given or (node.args[0],))
        self._values[new] = self._values[node]
        node.replace_all_uses_with(new)
        self._graph.erase_node(node)

    def _array(self, given: Any) -> Any:
        """Give a constant as an array; None for None."""
        tensor = self._values[given] if isinstance(given, fx.Node) else given
        return None if tensor is None else tensor.detach().float().numpy()

    def _is_one_image(self, node: fx.Node) -> bool:
        value = self._values[node]
        return value.dtype == torch.float32 and value.shape[0] == 1 and value.ndim in (4, 5)

    def _convolution(self, node: fx.Node) -> Operation | None:
        given = arguments(node)
        if not self._is_one_image(node) or set(given["dilation"]) != {1} or given["groups"] != 1:
            return None
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        taps = list(weight.shape[2:])
        stride = _each(given["stride"], len(taps))
        padding = _padding(given["padding"], taps)
        if padding is None:
            return None
        plain = set(stride) == {1} and padding == [tap // 2 for tap in taps]
        if plain and prod(taps) == 1:
            return PointwiseConvolution(weight, bias, self._workers)
        if plain and WinogradConvolution.takes(weight):
            needed = WinogradConvolution.filter_bytes(weight)
            if needed <= self._budget:
                self._budget -= needed
                return WinogradConvolution(weight, bias, self._workers)
        return StridedConvolution(weight, bias, stride, padding, self._workers)

    def _transposed(self, node: fx.Node) -> Operation | None:
        given = arguments(node)
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        count = weight.ndim - 2
        stride, padding, more = (
            _each(given[name], count) for name in ("stride", "padding", "output_padding")
        )
        every_place = all(step <= tap for step, tap in zip(stride, weight.shape[2:], strict=True))
        simple = given["groups"] == 1 and set(given["dilation"]) == {1} and every_place
        if simple and self._is_one_image(node):
            return TransposedConvolution(weight, bias, stride, padding, more, self._workers)
        return None

    def _norm(self, node: fx.Node) -> None:
        given = arguments(node)
        if not given["use_input_stats"] or not self._is_one_image(node):
            return
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        after = self._activation_after(node)
        slopes = None if after is None else after[1]
        overwrite = _is_fresh(node.args[0])
        ours = InstanceNorm(weight, bias, given["eps"], slopes, overwrite, self._workers)
        self._put(node, ours)
        if after is not None:
            (before,) = after[0].all_input_nodes[:1]
            after[0].replace_all_uses_with(before)
            self._graph.erase_node(after[0])

    def _activation_after(self, node: fx.Node) -> tuple[fx.Node, Any] | None:
        """Find an activation that is all that is made of a node, with its slopes below zero."""
        if len(node.users) != 1:
            return None
        (user,) = node.users
        channels = self._values[node].shape[1]
        if user.target in _SLOPES:
            return user, np.full(channels, _SLOPES[user.target](user.args[1:]), np.float32)
        if user.target is aten.prelu.default and user.args[0] is node:
            return user, np.resize(self._array(user.args[1]), channels).astype(np.float32)
        return None


def _is_fresh(node: Any) -> bool:
    """Say whether a node gives memory of its own, which only one other node reads."""
    ours = isinstance(node.target, Operation)
    return len(node.users) == 1 and (ours or node.target in {*CONVOLUTIONS, *_TRANSPOSED})


def _padding(given: Any, taps: list[int]) -> list[int] | None:
    if given == "valid":
        return [0] * len(taps)
    if given == "same":
        return [tap // 2 for tap in taps] if all(tap % 2 for tap in taps) else None
    return _each(given, len(taps))


def _each(value: Any, count: int) -> list[int]:
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    return found * count if len(found) == 1 else found
