"""A network as a list of torch's operations for one shape, with ours in place of some of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from napari_hybridseg.inference.winograd.folding import (
    CONVOLUTIONS,
    Observer,
    Values,
    are_fixed,
    arguments,
    constants_of,
    fold_batch_norms,
    fold_constants,
    leave_out_dropout,
    share_attributes,
    written,
)
from napari_hybridseg.inference.winograd.operations import WinogradConvolution
from napari_hybridseg.inference.winograd.program import Ours, Program, Ref, Step
from napari_hybridseg.inference.winograd.sampling import with_one_operation
from napari_hybridseg.older_python import zip

aten = torch.ops.aten
_TRANSPOSED = {aten.conv_transpose3d.input, aten.conv_transpose2d.input}
_SLOPES: dict[Any, Callable[[tuple[Any, ...]], float]] = {
    aten.relu.default: lambda rest: 0.0,
    aten.relu_.default: lambda rest: 0.0,
    aten.leaky_relu.default: lambda rest: float(rest[0]) if rest else 0.01,
    aten.leaky_relu_.default: lambda rest: float(rest[0]) if rest else 0.01,
}
# what the transformed filters of a network may take, in bytes: up to eight times the weights
_BUDGET = 300_000_000


def rewritten(network: nn.Module, example: Tensor) -> Program:
    """Trace a network for inputs of one shape, and put our operations in.

    Parameters
    ----------
    network : Module
        In evaluation mode, float32, on the CPU; its weights are copied where we use them.
    example : Tensor
        An input (1, C, [Z,] Y, X).

    Raises
    ------
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
        What torch's tracer raises for code that it does not take.
    """
    traced = make_fx(with_one_operation(network), pre_dispatch=True)(example)
    share_attributes(traced)
    leave_out_dropout(traced)
    constant = constants_of(traced)
    values = Observer(traced, constant).values_of(example)
    fold_constants(traced, constant, values)
    fold_batch_norms(traced, values)
    _Rewriter(traced, values).rewrite()
    traced.graph.eliminate_dead_code()
    return _program_of(traced, values)


def _program_of(traced: fx.GraphModule, values: Values) -> Program:
    """Write a graph down as a program."""
    nodes = list(traced.graph.nodes)
    constants = [node for node in nodes if node.op == "get_attr"]
    (image,) = (node for node in nodes if node.op == "placeholder")
    calls = [node for node in nodes if node.op == "call_function"]
    refs = {node: Ref(number) for number, node in enumerate([image, *constants, *calls])}
    (output,) = (node for node in nodes if node.op == "output")
    if not isinstance(output.args[0], fx.Node):
        raise ValueError("the network gives more than one tensor")
    last = {one: node for node in [*calls, output] for one in node.all_input_nodes}
    steps = []
    for node in calls:
        args = tuple(_plain(one, refs) for one in node.args)
        kwargs = {name: _plain(one, refs) for name, one in node.kwargs.items()}
        ended = (one for one in node.all_input_nodes if last[one] is node)
        done_with = [refs[one].number for one in ended if one not in constants]
        if node not in last:  # called for what it does in place
            done_with.append(refs[node].number)
        steps.append(Step(_target(node), args, kwargs, tuple(done_with)))
    held = tuple(values[node].detach() for node in constants)
    return Program(held, tuple(steps), refs[output.args[0]].number)


def _target(node: fx.Node) -> Ours | str:
    if isinstance(node.target, Ours):
        return node.target
    return "getitem" if node.target is operator.getitem else str(node.target)


def _plain(value: Any, refs: dict[fx.Node, Ref]) -> Any:
    """Put references for nodes, and lists for the graph's own kind of lists."""
    if isinstance(value, fx.Node):
        return refs[value]
    return [_plain(item, refs) for item in value] if isinstance(value, (list, tuple)) else value


class _Rewriter:
    """Replaces nodes by our operations, where those take them."""

    def __init__(self, traced: fx.GraphModule, values: Values) -> None:
        self._graph = traced.graph
        self._values = values
        self._budget = _BUDGET
        self._changing = written(traced)

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
                self._put(
                    node, Ours("Sampler", numbers={"sizes": sizes}), (value, locations, weights)
                )

    def _size(self, node: fx.Node) -> int:
        value = self._values.get(node)
        return prod(value.shape[2:]) if isinstance(value, Tensor) and value.ndim > 2 else 0

    def _put(self, node: fx.Node, ours: Ours, given: Any = None) -> None:
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

    def _is_one_image(self, node: fx.Node, axes: tuple[int, ...] = (4, 5)) -> bool:
        value = self._values[node]
        return value.dtype == torch.float32 and value.shape[0] == 1 and value.ndim in axes

    def _is_ours(self, node: fx.Node, given: dict[str, Any]) -> bool:
        """Say whether a convolution is one of an image with a batch axis, with known weights."""
        if not are_fixed(self._changing, given["weight"], given["bias"]):
            return False
        simple = set(given["dilation"]) == {1} and given["groups"] == 1
        return simple and self._is_one_image(node, (self._values[given["weight"]].ndim,))

    def _convolution(self, node: fx.Node) -> Ours | None:
        given = arguments(node)
        if not self._is_ours(node, given):
            return None
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        arrays = {"weight": weight, "bias": bias}
        taps = list(weight.shape[2:])
        stride = _each(given["stride"], len(taps))
        padding = _padding(given["padding"], taps)
        if padding is None:
            return None
        plain = set(stride) == {1} and padding == [tap // 2 for tap in taps]
        if plain and prod(taps) == 1:
            return Ours("PointwiseConvolution", arrays)
        if plain and WinogradConvolution.takes(weight):
            planes = self._values[node].shape[2] if len(taps) == 3 else 1
            needed = WinogradConvolution.filter_bytes(weight, planes)
            if needed <= self._budget:
                self._budget -= needed
                return Ours("WinogradConvolution", arrays, {"planes": planes})
        return Ours("StridedConvolution", arrays, {"stride": stride, "padding": padding})

    def _transposed(self, node: fx.Node) -> Ours | None:
        given = arguments(node)
        if not self._is_ours(node, given):
            return None
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        count = weight.ndim - 2
        stride, padding, more = (
            _each(given[name], count) for name in ("stride", "padding", "output_padding")
        )
        every_place = all(step <= tap for step, tap in zip(stride, weight.shape[2:], strict=True))
        if not every_place:
            return None
        numbers = {"stride": stride, "padding": padding, "output_padding": more}
        return Ours("TransposedConvolution", {"weight": weight, "bias": bias}, numbers)

    def _norm(self, node: fx.Node) -> None:
        given = arguments(node)
        known = are_fixed(self._changing, given["weight"], given["bias"])
        if not known or not given["use_input_stats"] or not self._is_one_image(node):
            return
        weight, bias = self._array(given["weight"]), self._array(given["bias"])
        after = self._activation_after(node)
        slopes = None if after is None else after[1]
        overwrite = _is_fresh(node.args[0])
        arrays = {"weight": weight, "bias": bias, "slopes": slopes}
        numbers = {"epsilon": given["eps"], "may_overwrite": overwrite}
        self._put(node, Ours("InstanceNorm", arrays, numbers))
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
        is_prelu = user.target is aten.prelu.default and user.args[0] is node
        if is_prelu and are_fixed(self._changing, user.args[1]):
            return user, np.resize(self._array(user.args[1]), channels).astype(np.float32)
        return None


def _is_fresh(node: Any) -> bool:
    """Say whether a node gives memory of its own, which only one other node reads."""
    ours = isinstance(node.target, Ours)
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
