"""Which backend runs a network: the fastest exact one, found by measuring, checked on real data."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from napari_hybridseg.events import Note
from napari_hybridseg.inference.backend_store import BackendStore, Key, machine, network_sha256
from napari_hybridseg.inference.backend_timing import (
    PLAIN,
    Record,
    Steps,
    in_thread,
    softmax_difference,
    timed,
)
from napari_hybridseg.inference.backends import Backend, CompiledBackend, TorchBackend
from napari_hybridseg.inference.engines import ENGINES, TITLES, Engine, EngineError, Recipe
from napari_hybridseg.inference.gpu_choice import GpuRunner

# how far the class probabilities of a voxel may be from the plain network's
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
# what converting and measuring takes on a small network, in seconds of calculation
WORTH_MEASURING_S = 15.0
_FEW_WINDOWS = 2
_ROUNDS = 3
_ROUND_BUDGET_S = 2.0


@dataclass(frozen=True)
class _Case:
    """One run's circumstances."""

    plain: TorchBackend
    window: Tensor
    slice_axis: int | None
    precision: str
    windows: int
    expected: Tensor
    plain_s: float

    @property
    def input(self) -> Tensor:
        """The window as the network takes it."""
        if self.slice_axis is None:
            return self.window.contiguous()
        return self.window.squeeze(self.slice_axis + 2).contiguous()

    @cached_property
    def other(self) -> tuple[Tensor, Tensor]:
        """A window that no engine was made with, and the plain network's logits for it.

        Mirrored, and paler, in one half by more: whatever an engine took from the first differs.
        """
        window = self.window.flip((2, 3, 4)) * 0.9
        axis = max((2, 3, 4), key=lambda axis: window.shape[axis])
        window.narrow(axis, 0, window.shape[axis] // 2).mul_(0.6)
        return window, self.plain(window)


class NetworkRunner:
    """A network with the backends that were prepared for it, to be kept between runs.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    description : str
        How it is built, as far as its weights do not say it: with them it names the network in
        the cache.
    store : BackendStore, optional
        The cache.
    """

    def __init__(
        self, network: nn.Module, description: str, store: BackendStore | None = None
    ) -> None:
        self.network = network
        self._description = description
        self._store = store or BackendStore()
        self._engines: dict[str, Engine] = {}
        self._refused: dict[str, str] = {}
        self._gpu = GpuRunner(network, self._store)
        self._sha256: str | None = None

    def backend(
        self,
        wish: str,
        device: torch.device,
        precision: str,
        slice_axis: int | None,
        window: Tensor,
        windows: int,
    ) -> Steps[Backend]:
        """Prepare what runs the network; the generator's value is the backend.

        Parameters
        ----------
        wish : str
            ``auto`` or a name in ``ENGINES``. Only a CPU has those; on CUDA ``auto`` is the
            fastest that ``GpuRunner`` finds, and all else plain PyTorch.
        device : torch.device
            Where it runs.
        precision : str
            What it calculates with; where it is not float32, ``auto`` is plain PyTorch.
        slice_axis : int or None
            As in ``TorchBackend``.
        window : Tensor
            A real one, (1, C, Z, Y, X): what is prepared has to agree with the plain network
            on it, and in float32 on one that is made from it.
        windows : int
            How many will be run.

        Yields
        ------
        Progress, Note
            Signs of life while it works in a thread, and what the user should know.
        """
        plain = TorchBackend(self.network, device, precision, slice_axis)
        if device.type == "cuda" and wish == "auto":
            key = self._name_of(tuple(window.shape))
            key["device"] = torch.cuda.get_device_name(device)
            return (yield from self._gpu.backend(plain, window.float(), windows, key))
        no_choice = wish == "auto" and (precision != "float32" or windows <= _FEW_WINDOWS)
        if device.type != "cpu" or precision == "float16" or no_choice:
            if wish not in ("auto", "torch"):
                where = "in float16" if device.type == "cpu" else f"on {device.type}"
                yield Note(f"{TITLES[wish]} does not run networks {where} here; PyTorch does.")
            return plain
        window = window.float().cpu()
        first = yield from in_thread("Preparing", lambda: _first_run(plain, window))
        if first is None:  # the run itself says why
            return plain
        case = _Case(plain, window, slice_axis, precision, windows, *first)
        if wish != "auto":
            return (yield from self._as_wished(wish, case))
        return (yield from self._fastest(case))

    def _as_wished(self, wish: str, case: _Case) -> Steps[Backend]:
        if wish == "torch" and case.precision != "float32":
            return case.plain
        found = yield from self._prepared(wish, case)
        if isinstance(found, str):
            yield Note(f"{TITLES[wish]} does not run this network ({found}); plain PyTorch does.")
            return case.plain
        return found

    def _fastest(self, case: _Case) -> Steps[Backend]:
        record = self._read_record(case)
        if not record.seconds:
            record.spent_s += case.windows * case.plain_s
            if record.spent_s < WORTH_MEASURING_S:
                self._write_record(case, record)
                return case.plain
            record = yield from in_thread("Measuring backends", lambda: self._measured(case))
            self._write_record(case, record)
        while (name := record.fastest(case.windows, self._at_hand(case))) != PLAIN:
            found = yield from self._prepared(name, case)
            if not isinstance(found, str):
                return found
            yield Note(f"{TITLES[name]} was left out: {found}.")
            del record.seconds[name]
            self._write_record(case, record)
        return case.plain

    def _prepared(self, name: str, case: _Case) -> Steps[Backend | str]:
        return in_thread(f"Preparing {TITLES[name]}", lambda: self._checked(name, case))

    def _measured(self, case: _Case) -> Record:
        """Run a few windows through everything, in turn; keep in memory only the fastest."""
        record = Record()
        contenders: dict[str, Backend] = {PLAIN: case.plain}
        for name in ENGINES:
            if name == "onnx" and "openvino" in contenders:
                continue  # never the faster of the two on the shipped networks (benchmarks)
            found = self._checked(name, case)
            if not isinstance(found, str):
                contenders[name] = found
                record.load_s[name] = self._engines[self._slot(name, case)].load_s
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(_ROUNDS):
            for name, backend in contenders.items():
                if sum(times[name]) < _ROUND_BUDGET_S:
                    times[name].append(timed(backend, case.window)[1])
        record.seconds = {name: statistics.median(found) for name, found in times.items()}
        best = record.fastest(case.windows, set(contenders))
        for name in ENGINES:
            if name != best:
                self._engines.pop(self._slot(name, case), None)
        return record

    def _checked(self, name: str, case: _Case) -> Backend | str:
        """Give a backend that agrees with the plain network on the window, or why there is none."""
        slot = self._slot(name, case)
        if slot in self._refused:  # in a batch, once is enough
            return self._refused[slot]
        try:
            engine = self._engines.get(slot) or ENGINES[name](self._recipe(case))
        except EngineError as error:
            self._refused[slot] = str(error)
            return str(error)
        given = case.input
        backend = CompiledBackend(
            name, engine.compute, tuple(given.shape), case.plain, case.slice_axis
        )
        away = softmax_difference(backend(case.window), case.expected)
        if slot not in self._engines and case.precision == "float32":
            try:
                away = max(away, _away_elsewhere(backend, case))
            except (RuntimeError, ValueError, LookupError):
                self._refused[slot] = "it fails on a second window"
                return self._refused[slot]
        if not away <= TOLERANCE[case.precision]:
            self._engines.pop(slot, None)
            return f"its probabilities are up to {away:.1g} from the plain network's"
        self._engines[slot] = engine
        return backend

    def _recipe(self, case: _Case) -> Recipe:
        return Recipe(
            network=self.network,
            example=case.input,
            key=self._key(case),
            store=self._store,
            threads=torch.get_num_threads(),
            precision=case.precision,
        )

    def _slot(self, name: str, case: _Case) -> str:
        return f"{name} {tuple(case.input.shape)} {torch.get_num_threads()} {case.precision}"

    def _at_hand(self, case: _Case) -> set[str]:
        return {name for name in ENGINES if self._slot(name, case) in self._engines}

    def _key(self, case: _Case) -> dict[str, str | int | list[int]]:
        return self._name_of(tuple(case.input.shape))

    def _name_of(self, shape: tuple[int, ...]) -> dict[str, str | int | list[int]]:
        """Name the network, the shape and what runs it, for the cache."""
        self._sha256 = self._sha256 or network_sha256(self.network, self._description)
        return {"network": self._sha256, "shape": list(shape), **machine()}

    def _record_key(self, case: _Case) -> Key:
        return self._key(case) | {"threads": torch.get_num_threads()}

    def _read_record(self, case: _Case) -> Record:
        content = self._store.read("choice", self._record_key(case))
        return Record() if content is None else Record(**json.loads(content))

    def _write_record(self, case: _Case, record: Record) -> None:
        content = json.dumps(vars(record)).encode()
        self._store.write("choice", self._record_key(case), content)


def _away_elsewhere(backend: Backend, case: _Case) -> float:
    """Compare on a second window: a trace may hold numbers of the first as if they were weights."""
    window, expected = case.other
    return softmax_difference(backend(window), expected)


def _first_run(plain: TorchBackend, window: Tensor) -> tuple[Tensor, float] | None:
    try:
        return timed(plain, window)
    except (RuntimeError, ValueError, AssertionError, NotImplementedError):
        return None
