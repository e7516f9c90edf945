"""A rewritten network as a list of steps, which can be kept on disk and run without a tracer."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor
from typing_extensions import TypeAlias

from napari_hybridseg.inference.winograd.layout import Floats, Workers
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
from napari_hybridseg.inference.winograd.sampling import Sampler

OPERATIONS: Mapping[str, Callable[..., Operation]] = {
    kind.__name__: kind
    for kind in (
        WinogradConvolution,
        PointwiseConvolution,
        StridedConvolution,
        TransposedConvolution,
        InstanceNorm,
        Sampler,
    )
}
_TORCHS = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_Plain: TypeAlias = Union[int, float, str, bool, list[Any], dict[str, Any], None]


@dataclass(frozen=True)
class Ref:
    """The result of an earlier step, or the input, which is number 0."""

    number: int


@dataclass(frozen=True, eq=False)
class Ours:
    """What one of our operations is made of: its class, arrays and numbers, by argument."""

    kind: str
    arrays: Mapping[str, Floats | None] = field(default_factory=dict)
    numbers: Mapping[str, _Plain] = field(default_factory=dict)
    # torch's graphs want one of a function
    __name__ = "ours"

    def __call__(self, *given: Tensor) -> Tensor:
        """Act once; a program builds the operation for good."""
        return self.built(Workers(1))(*given)

    def built(self, workers: Workers) -> Operation:
        """Make the operation."""
        return OPERATIONS[self.kind](**self.arrays, **self.numbers, workers=workers)


@dataclass(frozen=True, eq=False)
class Step:
    """One call.

    Attributes
    ----------
    target : Ours or str
        What is called; a name is one of torch's operations, as in ``"aten.add.Tensor"``, or
        ``"getitem"``.
    args, kwargs : tuple, dict
        Its arguments; a ``Ref`` stands for a result.
    done_with : tuple of int
        Results that nobody reads afterwards.
    """

    target: Ours | str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    done_with: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """Steps from an input to a result.

    Attributes
    ----------
    constants : tuple of Tensor
        Numbers 1 to ``len(constants)``; steps give the numbers after them.
    steps : tuple of Step
        In their order.
    result : int
        The number that is the network's answer.
    """

    constants: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    result: int

    def to_bytes(self) -> bytes:
        """Give it as bytes.

        Raises
        ------
        TypeError
            If an argument is of a kind that is not known here.
        """
        arrays: dict[str, Any] = {}
        steps = []
        for number, step in enumerate(self.steps):
            target: _Plain = step.target if isinstance(step.target, str) else None
            if isinstance(step.target, Ours):
                held = {name: each for name, each in step.target.arrays.items() if each is not None}
                arrays.update({f"{number}.{name}": each for name, each in held.items()})
                target = {
                    "kind": step.target.kind,
                    "arrays": {name: name in held for name in step.target.arrays},
                    "numbers": dict(step.target.numbers),
                }
            kwargs = {name: _encoded(value) for name, value in step.kwargs.items()}
            steps.append([target, [_encoded(a) for a in step.args], kwargs, step.done_with])
        for number, constant in enumerate(self.constants):
            arrays[f"constant {number}"] = constant.detach().contiguous().numpy()
        listed = {name: np.asarray(each, order="C") for name, each in arrays.items()}
        head = json.dumps({"steps": steps, "result": self.result, "count": len(self.constants)})
        return len(head.encode()).to_bytes(8, "little") + head.encode() + save_arrays(listed)

    @classmethod
    def from_bytes(cls, content: bytes) -> Program:
        """Take what ``to_bytes`` gave."""
        length = 8 + int.from_bytes(content[:8], "little")
        head = json.loads(content[8:length])
        arrays = load_arrays(content[length:])
        steps = []
        for number, (target, args, kwargs, done_with) in enumerate(head["steps"]):
            called = target if isinstance(target, str) else _ours(target, number, arrays)
            named = {name: _decoded(value) for name, value in kwargs.items()}
            steps.append(Step(called, tuple(map(_decoded, args)), named, tuple(done_with)))
        constants = [torch.from_numpy(arrays[f"constant {n}"]) for n in range(head["count"])]
        return cls(tuple(constants), tuple(steps), head["result"])


class Runner:
    """Runs a program.

    Parameters
    ----------
    program : Program
    workers : Workers
        What our operations run on.
    """

    def __init__(self, program: Program, workers: Workers) -> None:
        self._constants = program.constants
        self._result = program.result
        self._calls = [
            (_function(step.target, workers), step.args, step.kwargs, step.done_with)
            for step in program.steps
        ]

    def __call__(self, image: Tensor) -> Tensor:
        """Give the program's result."""
        values: list[Any] = [image, *self._constants]
        for function, args, kwargs, done_with in self._calls:
            named = {name: _filled(one, values) for name, one in kwargs.items()}
            values.append(function(*[_filled(a, values) for a in args], **named))
            for number in done_with:
                values[number] = None
        found: Tensor = values[self._result]
        return found


def _filled(value: Any, values: Sequence[Any]) -> Any:
    if type(value) is Ref:
        return values[value.number]
    if type(value) is list:
        return [_filled(item, values) for item in value]
    return value


def _function(target: Ours | str, workers: Workers) -> Callable[..., Any]:
    if isinstance(target, Ours):
        return target.built(workers)
    if target == "getitem":
        return operator.getitem
    space, name, overload = target.split(".")
    if space != "aten":
        raise ValueError(f"{target} is no operation of torch")
    found: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload)
    return found


def _ours(head: Mapping[str, Any], number: int, arrays: Mapping[str, Floats]) -> Ours:
    held = {
        name: arrays[f"{number}.{name}"] if is_there else None
        for name, is_there in head["arrays"].items()
    }
    return Ours(head["kind"], held, head["numbers"])


def _encoded(value: Any) -> _Plain:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Ref):
        return {"ref": value.number}
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, _TORCHS):
        return {"torch": str(value).partition(".")[2]}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _decoded(value: _Plain) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "ref":
        return Ref(content)
    return torch.device(content) if kind == "device" else getattr(torch, content)
