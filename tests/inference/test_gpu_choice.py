"""Which form of a network a GPU runs. The choice is the same on any device, so a CPU plays it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.events import Note
from napari_hybridseg.inference import backend_choice, gpu_choice
from napari_hybridseg.inference.backend_choice import NetworkRunner
from napari_hybridseg.inference.backend_store import BackendStore
from napari_hybridseg.inference.backends import Backend, TorchBackend
from napari_hybridseg.inference.gpu_choice import ChannelsLast, GpuRunner

WINDOW = torch.randn(1, 2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
KEY = {"network": "abc", "shape": [1, 2, 4, 5, 6], "device": "a card"}
MANY = 10**9


class Layered(nn.Module):
    """A network that is quick or slow by the layout of what it is given."""

    def __init__(self, slow_first: float = 0.01, slow_last: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv3d(2, 3, 3, padding=1)
        self.slow = {False: slow_first, True: slow_last}

    def forward(self, image: Tensor) -> Tensor:
        is_last = image.is_contiguous(memory_format=torch.channels_last_3d)
        time.sleep(self.slow[is_last])
        found: Tensor = self.convolution(image)
        return found


class Compiler:
    """Plays ``torch.compile``: says what it was given, and gives what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, give: Any = None) -> None:
        self.given: list[nn.Module] = []
        self._give = give
        monkeypatch.setattr(torch, "compile", self)

    def __call__(self, network: nn.Module) -> Any:
        self.given.append(network)
        if isinstance(self._give, Exception):
            raise self._give
        return self._give or Layered(0.0, 0.0)


@pytest.fixture
def store(tmp_path: Path) -> BackendStore:
    return BackendStore(tmp_path)


def prepare(runner: GpuRunner, network: nn.Module, windows: int = MANY) -> tuple[Backend, list]:
    plain = TorchBackend(network, torch.device("cpu"), "float32", None)
    steps = runner.backend(plain, WINDOW, windows, KEY)
    notes = []
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return end.value, notes
        if isinstance(event, Note):
            notes.append(event.message)


def form_of(backend: Backend) -> nn.Module:
    return backend._network  # type: ignore[attr-defined]


def test_channels_last_is_taken_where_it_is_faster(store, monkeypatch) -> None:
    Compiler(monkeypatch, RuntimeError("no compiler"))
    network = Layered()
    before = network.convolution.weight.stride()
    backend, notes = prepare(GpuRunner(network, store), network)
    assert isinstance(form_of(backend), ChannelsLast)
    assert not notes
    torch.testing.assert_close(backend(WINDOW), network(WINDOW))
    assert backend(WINDOW).is_contiguous()
    assert network.convolution.weight.stride() == before, "the caller's network is as it was"


def test_it_is_not_taken_where_it_is_slower(store, monkeypatch) -> None:
    Compiler(monkeypatch, RuntimeError("no compiler"))
    network = Layered(0.0, 0.01)
    backend, _ = prepare(GpuRunner(network, store), network)
    assert form_of(backend) is network


def test_few_windows_are_not_worth_a_measurement(store) -> None:
    network = Layered()
    backend, _ = prepare(GpuRunner(network, store), network, gpu_choice.WORTH_MEASURING - 1)
    assert form_of(backend) is network
    assert not list(store.folder.glob("*"))


def test_a_network_that_ran_for_long_is_compiled_once_in_its_best_layout(
    store, monkeypatch
) -> None:
    compiled = Layered(0.0, 0.0)
    compiler = Compiler(monkeypatch, compiled)
    monkeypatch.setattr(gpu_choice, "WORTH_COMPILING_S", 1.0)
    network = Layered(0.01, 0.004)
    runner = GpuRunner(network, store)
    backend, _ = prepare(runner, network, 100)  # 0.4 s
    assert not compiler.given
    for _ in range(3):
        backend, _ = prepare(runner, network, 200)
    assert form_of(backend) is compiled
    (within,) = compiler.given
    assert isinstance(within, ChannelsLast)
    assert within is runner.form(gpu_choice.LAST, "float32", gpu_choice.Record())


def test_another_process_compiles_again_only_for_a_long_run(store, monkeypatch) -> None:
    class Compiled(Layered):
        def forward(self, image: Tensor) -> Tensor:
            if not hasattr(self, "ran"):
                self.ran = True
                time.sleep(0.3)  # a compiler works in the first run
            return self.convolution(image)

    network = Layered(0.01, 0.01)
    Compiler(monkeypatch, Compiled())
    prepare(GpuRunner(network, store), network)
    compiler = Compiler(monkeypatch, Compiled())
    backend, _ = prepare(GpuRunner(network, store), network, 20)  # would gain 0.2 s
    assert not compiler.given
    backend, _ = prepare(GpuRunner(network, store), network, 2000)
    assert len(compiler.given) == 1
    assert isinstance(form_of(backend), Compiled)


def test_a_wrong_form_is_not_taken(store, monkeypatch) -> None:
    class Wrong(Layered):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image) * 3

    Compiler(monkeypatch, Wrong(0.0, 0.0))
    network = Layered(0.01, 0.01)
    runner = GpuRunner(network, store)
    backend, _ = prepare(runner, network)
    assert not isinstance(form_of(backend), Wrong)
    torch.testing.assert_close(backend(WINDOW), network(WINDOW))


def test_what_does_not_compile_is_tried_once(store, monkeypatch) -> None:
    compiler = Compiler(monkeypatch, RuntimeError("no C compiler was found"))
    network = Layered()
    runner = GpuRunner(network, store)
    for _ in range(2):
        backend, _ = prepare(runner, network)
        torch.testing.assert_close(backend(WINDOW), network(WINDOW))
    assert len(compiler.given) == 1


def test_a_remembered_form_that_fails_now_falls_back_with_a_note(store, monkeypatch) -> None:
    Compiler(monkeypatch, Layered(0.0, 0.0))
    network = Layered(0.02, 0.02)
    prepare(GpuRunner(network, store), network)
    Compiler(monkeypatch, RuntimeError("the driver is too old"))
    backend, (note,) = prepare(GpuRunner(network, store), network)
    assert "the driver is too old" in note
    torch.testing.assert_close(backend(WINDOW), network(WINDOW))


def test_a_full_gpu_runs_the_plain_network(store, monkeypatch) -> None:
    def refuse(network: nn.Module) -> nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu_choice, "ChannelsLast", refuse)
    Compiler(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    network = Layered()
    backend, _ = prepare(GpuRunner(network, store), network)
    assert form_of(backend) is network


def test_an_altered_entry_is_measured_anew(store, monkeypatch) -> None:
    Compiler(monkeypatch, RuntimeError("no compiler"))
    network = Layered()
    prepare(GpuRunner(network, store), network)
    (entry,) = store.folder.glob("gpu-*.bin")
    entry.write_bytes(entry.read_bytes().replace(b"0.", b"9.", 1))
    backend, _ = prepare(GpuRunner(network, store), network)
    assert isinstance(form_of(backend), ChannelsLast)


@pytest.mark.parametrize("wish", ["auto", "torch"])
def test_only_auto_on_cuda_has_the_choice(store, monkeypatch, wish: str) -> None:
    asked = []

    def choose(plain: Any, window: Tensor, windows: int, key: Any) -> Any:
        asked.append(key)
        return plain
        yield

    class Card(TorchBackend):
        def __init__(self, network, device, precision, slice_axis) -> None:
            super().__init__(network, torch.device("cpu"), precision, slice_axis)

    monkeypatch.setattr(backend_choice, "TorchBackend", Card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    runner = NetworkRunner(Layered(), "", store)
    monkeypatch.setattr(runner._gpu, "backend", choose)
    steps = runner.backend(wish, torch.device("cuda"), "bfloat16", None, WINDOW, MANY)
    with pytest.raises(StopIteration):
        next(steps)
    assert [key["device"] for key in asked] == (["a card"] if wish == "auto" else [])
