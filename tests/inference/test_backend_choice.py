"""The fastest exact backend is taken, and anything else falls back with a note."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.events import Note, Progress
from napari_hybridseg.inference import backend_choice as module
from napari_hybridseg.inference import backend_timing
from napari_hybridseg.inference.backend_choice import NetworkRunner
from napari_hybridseg.inference.backend_store import BackendStore
from napari_hybridseg.inference.backend_timing import softmax_difference
from napari_hybridseg.inference.backends import Backend
from napari_hybridseg.inference.engines import Engine, EngineError, Recipe

CPU = torch.device("cpu")
WINDOW = torch.randn(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(0))
MANY = 10**9


class Slow(nn.Module):
    """A network that takes ten milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> Tensor:
        time.sleep(0.01)
        return torch.cat([image * self.scale, 1 - image], dim=1)


def exact(window: Tensor) -> Tensor:
    return torch.cat([window, 1 - window], dim=1)


class Engines:
    """Fake engines that count how often they were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.table: dict[str, Callable[[Recipe], Engine]] = {}
        monkeypatch.setattr(module, "ENGINES", self.table)

    def add(self, name: str, compute: Callable[[Tensor], Tensor], load_s: float = 0.0) -> None:
        def make(recipe: Recipe) -> Engine:
            self.made.append(name)
            return Engine(compute, load_s)

        self.table[name] = make

    def add_broken(self, name: str, reason: str) -> None:
        def make(recipe: Recipe) -> Engine:
            self.made.append(name)
            raise EngineError(reason)

        self.table[name] = make


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    return Engines(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> BackendStore:
    return BackendStore(tmp_path)


def prepare(
    runner: NetworkRunner, wish: str = "auto", windows: int = MANY, precision: str = "float32"
) -> tuple[Backend, list[str]]:
    steps = runner.backend(wish, CPU, precision, None, WINDOW, windows)
    notes = []
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value, notes
        assert isinstance(event, Progress | Note)
        if isinstance(event, Note):
            notes.append(event.message)


def test_the_fastest_exact_one_is_taken(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    engines.add("torch", lambda window: (time.sleep(0.003), exact(window))[1])
    backend, notes = prepare(NetworkRunner(Slow(), "", store))
    assert (backend.name, notes) == ("openvino", [])
    torch.testing.assert_close(backend(WINDOW), exact(WINDOW))


def test_a_faster_one_that_is_wrong_is_not_taken(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", lambda window: exact(window) * 1.05)
    engines.add("onnx", lambda window: (time.sleep(0.003), exact(window))[1])
    assert prepare(NetworkRunner(Slow(), "", store))[0].name == "onnx"


def test_onnx_is_tried_only_without_openvino(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    engines.add("onnx", exact)
    prepare(NetworkRunner(Slow(), "", store))
    assert engines.made == ["openvino"]


def test_plain_torch_stays_where_it_is_the_fastest(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", lambda window: (time.sleep(0.05), exact(window))[1])
    backend, notes = prepare(NetworkRunner(Slow(), "", store))
    assert type(backend).__name__ == "TorchBackend"
    assert not notes


def test_the_measurement_is_kept_on_disk(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    engines.add("torch", lambda window: (time.sleep(0.003), exact(window))[1])
    prepare(NetworkRunner(Slow(), "", store))
    engines.made.clear()
    assert prepare(NetworkRunner(Slow(), "", store))[0].name == "openvino"
    assert engines.made == ["openvino"]
    for path in store.folder.glob("choice-*"):
        path.write_bytes(path.read_bytes().replace(b"openvino", b"openvimo"))
    engines.made.clear()
    prepare(NetworkRunner(Slow(), "", store))
    assert engines.made[:2] == ["openvino", "torch"]


def test_a_changed_weight_is_measured_anew(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    engines.add("torch", lambda window: (time.sleep(0.003), exact(window))[1])
    prepare(NetworkRunner(Slow(), "", store))
    engines.made.clear()
    tuned = Slow()
    with torch.no_grad():
        tuned.scale += 1e-6
    prepare(NetworkRunner(tuned, "", store))
    assert "torch" in engines.made


def test_few_windows_are_not_worth_a_measurement(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    backend, _ = prepare(NetworkRunner(Slow(), "", store), windows=20)
    assert type(backend).__name__ == "TorchBackend"
    assert not engines.made


def test_few_windows_again_and_again_are(
    engines: Engines, store: BackendStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORTH_MEASURING_S", 1.0)
    engines.add("openvino", exact)
    names = [prepare(NetworkRunner(Slow(), "", store), windows=40)[0].name for _ in range(4)]
    assert names[0] == "torch"
    assert names[-1] == "openvino"


def test_loading_counts_for_a_short_run(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact, load_s=5.0)
    runner = NetworkRunner(Slow(), "", store)
    assert prepare(runner)[0].name == "openvino"
    assert prepare(NetworkRunner(Slow(), "", store), windows=5)[0].name == "torch"
    assert prepare(runner, windows=5)[0].name == "openvino"  # at hand: nothing to load


def test_a_runner_keeps_what_it_prepared(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    runner = NetworkRunner(Slow(), "", store)
    for _ in range(3):
        prepare(runner, "openvino")
    assert engines.made == ["openvino"]


@pytest.mark.parametrize("wish", ["openvino", "onnx"])
def test_what_cannot_be_had_falls_back_with_a_note(
    wish: str, engines: Engines, store: BackendStore
) -> None:
    engines.add_broken(wish, "the package is not installed")
    backend, notes = prepare(NetworkRunner(Slow(), "", store), wish)
    assert type(backend).__name__ == "TorchBackend"
    (note,) = notes
    assert "the package is not installed" in note


def test_what_failed_once_is_not_tried_with_every_case(
    engines: Engines, store: BackendStore
) -> None:
    engines.add_broken("onnx", "it knows no such operator")
    runner = NetworkRunner(Slow(), "", store)
    told = [prepare(runner, "onnx")[1] for _ in range(3)]
    assert engines.made == ["onnx"]
    assert all("knows no such operator" in note for (note,) in told)


def test_a_wished_one_that_is_wrong_falls_back_with_a_note(
    engines: Engines, store: BackendStore
) -> None:
    engines.add("openvino", lambda window: exact(window) * float("nan"))
    backend, notes = prepare(NetworkRunner(Slow(), "", store), "openvino")
    torch.testing.assert_close(backend(WINDOW), exact(WINDOW))
    assert len(notes) == 1


def test_one_that_holds_numbers_of_the_window_is_not_taken(
    engines: Engines, store: BackendStore
) -> None:
    """As a trace does of a network that asks for them as plain numbers."""
    network = AddsMean()
    expected = network(WINDOW)
    engines.add(
        "openvino",
        lambda window: torch.cat([window * (1 + float(WINDOW.mean())), 1 - window], dim=1),
    )
    engines.add("onnx", lambda window: expected)
    runner = NetworkRunner(network, "", store)
    for wish in ("openvino", "onnx", "auto"):
        assert prepare(runner, wish)[0].name == "torch"


class AddsMean(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        shift = float(image.mean())
        return torch.cat([image * (1 + shift), 1 - image], dim=1)


def test_one_that_fails_on_another_window_is_not_taken(
    engines: Engines, store: BackendStore
) -> None:
    def fickle(window: Tensor) -> Tensor:
        if not torch.equal(window, WINDOW):
            raise RuntimeError("shape '[12]' is invalid for input of size 13")
        return exact(window)

    engines.add("openvino", fickle)
    backend, (note,) = prepare(NetworkRunner(Slow(), "", store), "openvino")
    assert backend.name == "torch"
    assert "fails on a second window" in note


def test_a_remembered_winner_that_went_wrong_is_left_out(
    engines: Engines, store: BackendStore
) -> None:
    engines.add("openvino", exact)
    prepare(NetworkRunner(Slow(), "", store))
    engines.add_broken("openvino", "the library does not load")
    backend, notes = prepare(NetworkRunner(Slow(), "", store))
    assert type(backend).__name__ == "TorchBackend"
    assert "does not load" in notes[0]


def test_another_precision_is_plain_torch(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    backend, _ = prepare(NetworkRunner(Slow(), "", store), precision="bfloat16")
    assert type(backend).__name__ == "TorchBackend"
    assert not engines.made


def test_a_window_that_the_network_refuses_is_left_to_the_run(
    engines: Engines, store: BackendStore
) -> None:
    engines.add("openvino", exact)
    network = nn.Conv3d(2, 3, 3)
    backend, notes = prepare(NetworkRunner(network, "", store))
    assert not notes
    with pytest.raises(RuntimeError):
        backend(WINDOW)


def test_it_can_be_cancelled_while_it_prepares(
    engines: Engines, store: BackendStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_timing, "_BEAT_S", 0.01)

    def make(recipe: Recipe) -> Engine:
        time.sleep(0.5)
        return Engine(exact, 0.0)

    engines.table["openvino"] = make
    steps: Iterator[Progress | Note] = NetworkRunner(Slow(), "", store).backend(
        "openvino", CPU, "float32", None, WINDOW, MANY
    )
    began = time.monotonic()
    while not (isinstance(event := next(steps), Progress) and "OpenVINO" in event.stage):
        pass
    steps.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 0.4


def test_the_difference_is_of_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0]])
    assert softmax_difference(logits + 7, logits) == pytest.approx(0, abs=1e-6)
    assert softmax_difference(torch.tensor([[1.0, 0.0]]), logits) == pytest.approx(
        0.46212, abs=1e-4
    )
    assert softmax_difference(logits * float("nan"), logits) == float("inf")


def test_a_wish_that_the_precision_rules_out_is_said(engines: Engines, store: BackendStore) -> None:
    engines.add("openvino", exact)
    runner = NetworkRunner(Slow(), "", store)
    _, (note,) = prepare(runner, "openvino", precision="float16")
    assert "OpenVINO" in note
    assert "float16" in note
    assert prepare(runner, "auto", precision="float16")[1] == []
    assert prepare(runner, "torch", precision="float16")[1] == []
