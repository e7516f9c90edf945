"""How a network runs on a GPU: as it is, with channels last, or compiled; the fastest is taken.

Channels last helps where convolutions rule and hurts where norms do, so it is measured, on a few
windows. Compiling takes a minute or so; it is tried when a network has run for longer than that,
which it has in a process that is used again and again, and it is made anew in another process
only for a run that it shortens by more than it takes.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from napari_hybridseg.events import Note
from napari_hybridseg.inference.backend_store import BackendStore, Key
from napari_hybridseg.inference.backend_timing import (
    PLAIN,
    Record,
    Steps,
    in_thread,
    softmax_difference,
    timed,
)
from napari_hybridseg.inference.backends import Backend, TorchBackend

WORTH_MEASURING = 16  # windows
WORTH_COMPILING_S = 60.0
LAST, COMPILED = "channels-last", "compiled"
# mixed precision rounds otherwise in another order of sums; a wrong answer is further off
_TOLERANCE: Mapping[str, float] = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.1}
_ROUNDS = 3
# what torch's compiler and its back ends raise for what they do not take
_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    OSError,
)


class GpuRunner:
    """A network in the forms that were made of it for a GPU, to be kept between runs.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    store : BackendStore
        Where measurements are kept.
    """

    def __init__(self, network: nn.Module, store: BackendStore) -> None:
        self._network = network
        self._store = store
        self._forms: dict[tuple[str, str], nn.Module] = {}
        self._refused: set[tuple[str, str]] = set()

    def backend(
        self,
        plain: TorchBackend,
        window: Tensor,
        windows: int,
        key: Key,
    ) -> Steps[Backend]:
        """Give the fastest form; see ``NetworkRunner.backend``.

        Parameters
        ----------
        plain : TorchBackend
            The network as it is.
        window : Tensor
            A real one, (1, C, Z, Y, X).
        windows : int
            How many will be run.
        key : mapping
            Names the network, the window's shape and the device.
        """
        if windows < WORTH_MEASURING:
            return plain
        case = _Case(self, plain, window, key)
        record = case.read()
        if LAST not in record.seconds:
            yield from in_thread("Measuring the GPU", lambda: case.measure(record, LAST))
        record.spent_s += windows * min(record.seconds.values(), default=0.0)
        worth = record.spent_s >= WORTH_COMPILING_S and COMPILED not in record.seconds
        if worth and not case.is_refused(COMPILED):
            yield from in_thread("Compiling the network", lambda: case.measure(record, COMPILED))
        case.write(record)
        at_hand = {PLAIN, LAST} | ({COMPILED} if case.is_at_hand(COMPILED) else set())
        while record.seconds and (name := record.fastest(windows, at_hand)) != PLAIN:
            found = yield from in_thread("Preparing the GPU", lambda n=name: case.checked(n))  # type: ignore[misc]
            if not isinstance(found, str):
                return found
            yield Note(f"The network does not run {name} here ({found}); plain PyTorch runs it.")
            del record.seconds[name]
        return plain

    def form(self, name: str, precision: str, record: Record) -> nn.Module:
        """Make a form of the network, or give the one that is kept."""
        slot = (name, precision)
        if slot not in self._forms:
            self._forms[slot] = self._made(name, precision, record)
        return self._forms[slot]

    def _made(self, name: str, precision: str, record: Record) -> nn.Module:
        if name == LAST:
            # a copy: the layout belongs to the weights
            return ChannelsLast(copy.deepcopy(self._network))
        seconds = record.seconds
        is_last = seconds.get(LAST, float("inf")) < seconds.get(PLAIN, float("inf"))
        within = self.form(LAST, precision, record) if is_last else self._network
        return cast(nn.Module, torch.compile(within))


class ChannelsLast(nn.Module):
    """A network whose weights and images have their channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for tensor in (*network.parameters(), *network.buffers()):
            if (layout := _layout(tensor)) is not None:
                tensor.data = tensor.data.contiguous(memory_format=layout)

    def forward(self, image: Tensor) -> Tensor:
        """Run the network; its answer has the channels first again."""
        layout = _layout(image)
        if layout is not None:
            image = image.contiguous(memory_format=layout)
        logits: Tensor = self.network(image)
        return logits.contiguous()


class _Case:
    """One run's circumstances."""

    def __init__(
        self,
        owner: GpuRunner,
        plain: TorchBackend,
        window: Tensor,
        key: Key,
    ) -> None:
        self._owner = owner
        self._plain = plain
        self._precision = plain.precision
        self._window = window
        self._key = {**key, "precision": plain.precision}
        self._record = Record()
        self._expected: Tensor | None = None

    def read(self) -> Record:
        content = self._owner._store.read("gpu", self._key)
        self._record = Record() if content is None else Record(**json.loads(content))
        return self._record

    def write(self, record: Record) -> None:
        self._owner._store.write("gpu", self._key, json.dumps(vars(record)).encode())

    def is_at_hand(self, name: str) -> bool:
        return (name, self._precision) in self._owner._forms

    def is_refused(self, name: str) -> bool:
        return (name, self._precision) in self._owner._refused

    def measure(self, record: Record, name: str) -> None:
        """Time a form beside the plain network; one that fails or is wrong is left out."""
        try:
            began = time.perf_counter()
            found = self.checked(name)
            if isinstance(found, str):
                return
            record.load_s[name] = time.perf_counter() - began
            times: dict[str, list[float]] = {PLAIN: [], name: []}
            for _ in range(_ROUNDS):
                for who, backend in ((PLAIN, self._plain), (name, found)):
                    times[who].append(timed(backend, self._window)[1])
        except torch.OutOfMemoryError:
            self._drop(name)
            return
        record.seconds |= {who: statistics.median(spent) for who, spent in times.items()}

    def checked(self, name: str) -> Backend | str:
        """Give a form that agrees with the plain network on the window, or why there is none."""
        if self.is_refused(name):
            return "it failed before"
        try:
            form = self._owner.form(name, self._precision, self._record)
            backend = self._plain.running(form)
            if self._expected is None:
                self._expected = self._plain(self._window)
            away = softmax_difference(backend(self._window), self._expected)
        except torch.OutOfMemoryError:
            self._drop(name)
            return "the GPU has too little memory for it"
        except _FAILURES as error:
            self._drop(name)
            return (" ".join(str(error).split()) or type(error).__name__)[:200]
        if not away <= _TOLERANCE[self._precision]:
            self._drop(name)
            return f"its probabilities are up to {away:.1g} from the plain network's"
        return backend

    def _drop(self, name: str) -> None:
        self._owner._forms.pop((name, self._precision), None)
        self._owner._refused.add((name, self._precision))


def _layout(tensor: Tensor) -> torch.memory_format | None:
    """Give the layout with channels last for as many axes; None where there is none."""
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.ndim)
