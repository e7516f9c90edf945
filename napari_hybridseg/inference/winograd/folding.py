"""Parts of a traced network that need not be calculated again for every input."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx

from napari_hybridseg.older_python import zip

aten = torch.ops.aten
_DROPOUTS = {aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default}

CONVOLUTIONS = {
    aten.conv3d.default, aten.conv2d.default, aten.conv3d.padding, aten.conv2d.padding,
}  # fmt: skip

Values = dict[fx.Node, Any]


class Observer(fx.Interpreter):
    """Runs a graph once, and keeps what every node gives: constants whole, of the rest the shape.

    Parameters
    ----------
    traced : GraphModule
        The graph.
    constant : set of Node
        Those that do not depend on the input.
    """

    def __init__(self, traced: fx.GraphModule, constant: set[fx.Node]) -> None:
        super().__init__(traced)
        self._constant = constant
        self._seen: Values = {}

    def values_of(self, example: Tensor) -> Values:
        """Give the values; a tensor that depends on the input is on ``meta``."""
        self.run(example)
        return self._seen

    def run_node(self, n: fx.Node) -> Any:
        """Run a node."""
        value = super().run_node(n)
        if n in self._constant or n.op == "get_attr":
            self._seen[n] = value
        elif isinstance(value, Tensor):  # all of them would be many times what a run takes
            self._seen[n] = value.to("meta")
        return value


def share_attributes(traced: fx.GraphModule) -> None:
    """Let one node stand for a tensor: what writes to it then changes it for all who read it."""
    first: dict[int, fx.Node] = {}
    for node in list(traced.graph.nodes):
        if node.op != "get_attr":
            continue
        kept = first.setdefault(id(attrgetter(node.target)(traced)), node)
        if kept is not node:
            node.replace_all_uses_with(kept)
            traced.graph.erase_node(node)


def leave_out_dropout(traced: fx.GraphModule) -> None:
    """Take out what does nothing in evaluation mode."""
    for node in list(traced.graph.nodes):
        if node.target in _DROPOUTS and not node.args[2]:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def constants_of(traced: fx.GraphModule) -> set[fx.Node]:
    """Find what does not depend on the input: weights, positions, weights in another shape."""
    changing = written(traced)
    constant: set[fx.Node] = set()
    for node in traced.graph.nodes:
        follows = all(one in constant for one in node.all_input_nodes)
        drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        fixed = node.op == "get_attr" or (node.op == "call_function" and follows and not drawn)
        if fixed and node not in changing:
            constant.add(node)
    return constant


def fold_constants(traced: fx.GraphModule, constant: set[fx.Node], values: Values) -> None:
    """Keep the constants as they are."""
    for number, node in enumerate(list(traced.graph.nodes)):
        needed = any(user not in constant for user in node.users)
        if node in constant and node.op != "get_attr" and needed:
            _keep(traced, node, f"_folded_{number}", values)
    traced.graph.eliminate_dead_code()


def written(traced: fx.GraphModule) -> set[fx.Node]:
    """Find what an operation writes to, in place or as its ``out``, and what that is a view of."""
    found: set[fx.Node] = set()
    for node in traced.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            continue
        given = arguments(node)
        found.add(node)
        for one in schema.arguments:
            target = given[one.name] if one.alias_info and one.alias_info.is_write else None
            while isinstance(target, fx.Node):
                found.add(target)
                target = target.args[0] if target.args else None
    return found


def are_fixed(changing: set[fx.Node], *given: Any) -> bool:
    """Say whether arguments, after folding, are numbers that are known before a run, or None."""
    return all(
        one is None or (isinstance(one, fx.Node) and one.op == "get_attr" and one not in changing)
        for one in given
    )


def fold_batch_norms(traced: fx.GraphModule, values: Values) -> None:
    """Let convolutions do what a batch normalisation after them would, in evaluation mode."""
    changing = written(traced)
    for node in list(traced.graph.nodes):
        if node.target is not aten.batch_norm.default:
            continue
        norm, before = arguments(node), node.args[0]
        target = getattr(before, "target", None)
        if norm["training"] or target not in CONVOLUTIONS or len(before.users) != 1:
            continue
        convolution = arguments(before)
        read = [norm[name] for name in ("running_mean", "running_var", "weight", "bias")]
        if not are_fixed(changing, *read, convolution["weight"], convolution["bias"]):
            continue
        mean, variance = (values[norm[name]] for name in ("running_mean", "running_var"))
        factor = (variance + norm["eps"]).rsqrt()
        if norm["weight"] is not None:
            factor = factor * values[norm["weight"]]
        weight = values[convolution["weight"]]
        bias = -mean if convolution["bias"] is None else values[convolution["bias"]] - mean
        bias = bias * factor
        if norm["bias"] is not None:
            bias = bias + values[norm["bias"]]
        weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        with traced.graph.inserting_before(before):
            new = [_constant(traced, f"_{before.name}_{one}", values, value)
                   for one, value in (("weight", weight), ("bias", bias))]  # fmt: skip
        before.args = (before.args[0], *new, *before.args[3:])
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)


def _constant(traced: fx.GraphModule, name: str, values: Values, value: Tensor) -> fx.Node:
    traced.register_buffer(name, value)
    node = traced.graph.get_attr(name)
    values[node] = value
    return node


def _keep(traced: fx.GraphModule, node: fx.Node, name: str, values: Values) -> None:
    value = values[node]
    if not isinstance(value, Tensor):
        return
    with traced.graph.inserting_before(node):
        kept = _constant(traced, name, values, value)
    node.replace_all_uses_with(kept)


def arguments(node: fx.Node) -> dict[str, Any]:
    """Give a node's arguments by name, with what torch takes where they are left out."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    found = {one.name: one.default_value for one in schema}
    found.update(dict(zip((one.name for one in schema), node.args, strict=False)))
    found.update(node.kwargs)
    return found
