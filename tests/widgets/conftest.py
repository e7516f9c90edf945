"""A viewer to test in, and an engine that does what a test tells it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.engine import DevicesJob, JobCancelled
from napari_hybridseg.engine.jobs import (
    DeviceReport,
    ErrorsJob,
    EstimateJob,
    ExplainJob,
    Job,
    ReadyJob,
    RepairJob,
    ScoreJob,
    SegmentJob,
)
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference.estimate import Probe, estimate
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.volume import LabelMap, Volume

SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen"}, "test")


def has_display() -> bool:
    """Say whether windows can be opened here."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs a display; run it under xvfb-run, as `make test` does")
    for item in items:
        if "make_napari_viewer_proxy" in getattr(item, "fixturenames", ()) and not has_display():
            item.add_marker(skip)


class FakeEngine:
    """Runs a script of events instead of a network.

    ``gate`` holds the job until a test lets it go on or cancels it.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.made_ready: list[ReadyJob] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.notes: tuple[Event, ...] = ()
        self.is_closed = False
        self.on_log: Callable[[str], None] = lambda line: None
        self.answers: dict[type[Job], Callable[[Job], object]] = {}
        self.wishes: list[str] = []
        self._cancel = threading.Event()

    def run(self, job: Job) -> Iterator[Event]:
        self._cancel.clear()
        self.on_log("engine says hello")
        if isinstance(job, DevicesJob):
            yield Result(
                DeviceReport(devices={"cpu": "CPU, 2 cores"}, threads=1, torch_version="0")
            )
            return
        if isinstance(job, EstimateJob):
            probe = Probe(seconds_per_pass=2.0)
            yield Result(
                estimate(job.volume, load_checkpoint(job.checkpoint).card, job.options, probe)
            )
            return
        if isinstance(job, ReadyJob):
            self.made_ready.append(job)
            yield Result(None)
            return
        self.jobs.append(job)
        yield Progress("Segmenting", 1, 4, eta_s=12.0)
        yield from self.notes
        while not self.gate.wait(0.005):
            if self._cancel.is_set():
                raise JobCancelled("The job was cancelled.")
        if self.failure is not None:
            raise self.failure
        yield Result(self._answer(job))

    def cancel(self) -> None:
        self._cancel.set()

    def finish(self) -> None:
        self.wishes.append("finish")
        self.gate.set()

    def pause(self) -> None:
        self.wishes.append("pause")

    def go_on(self) -> None:
        self.wishes.append("go on")

    def close(self) -> None:
        self.is_closed = True
        self._cancel.set()

    def _answer(self, job: Job) -> object:
        if type(job) in self.answers:
            return self.answers[type(job)](job)
        if isinstance(job, RepairJob):
            return _repaired(job)
        if isinstance(job, SegmentJob):
            volume = job.volume
            labels = (volume.array[0] > 0).astype(np.uint8)
            return LabelMap(volume.geometry, volume.source, labels, SCHEME)
        if isinstance(job, ScoreJob):
            from napari_hybridseg.metrics import score

            return score(job.prediction, job.reference)
        if isinstance(job, ErrorsJob):
            from napari_hybridseg.metrics.error_places import find_errors

            return find_errors(job.prediction, job.reference, job.labels, job.convention)
        if isinstance(job, ExplainJob):
            from .explanations import explanation_of

            return explanation_of(job)
        raise AssertionError(job)


def _repaired(job: RepairJob) -> object:
    from napari_hybridseg.corrections.assist.jobs import repair_region

    *_, last = repair_region(job, None)
    assert isinstance(last, Result)
    return last.value


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Put a fake engine behind the panel."""
    fake = FakeEngine()

    def start(on_log: Callable[[str], None]) -> FakeEngine:
        fake.on_log = on_log
        return fake

    monkeypatch.setattr("napari_hybridseg.widgets.dock.start_engine", start)
    return fake


@pytest.fixture(autouse=True)
def settings_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep a test's choices out of the user's settings, and the user's out of the test."""
    import napari.settings
    from qtpy.QtCore import QSettings

    folder = tmp_path_factory.mktemp("settings")
    path = str(folder / "settings.ini")
    monkeypatch.setattr(
        "napari_hybridseg.widgets.settings.QSettings",
        lambda *_: QSettings(path, QSettings.Format.IniFormat),
    )
    # napari 0.9 keeps the plugins' preferences beside its own, and in memory
    monkeypatch.setattr(napari.settings, "_CFG_PATH", str(folder / "napari.yaml"), raising=False)
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {}, raising=False)


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a test's autosave out of the user's."""
    folder = tmp_path / "autosave"
    monkeypatch.setattr("napari_hybridseg.widgets.correct_part.autosave_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def no_checkpoints_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without checkpoints, whatever is installed."""
    monkeypatch.setattr("napari_hybridseg.widgets.checkpoint_keeper.find_checkpoints", list)


@pytest.fixture(scope="session")
def card() -> ModelCard:
    return ModelCard(
        name="test-unet",
        architecture="unet",
        labels=SCHEME,
        modality="CT",
        windows=WindowDefaults(size=(8, 8, 8)),
        licence="CC0-1.0",
    )


@pytest.fixture(scope="session")
def checkpoint_file(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a checkpoint file that can be described (its weights are of no network)."""
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp("checkpoints") / "test-unet.safetensors"
    save_checkpoint(path, {"weight": torch.zeros(3)}, card)
    return path


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., Volume]:
    """Give a maker of small volumes on any grid, bright on the patient's left."""

    def make(
        direction: np.ndarray | None = None,
        spacing: tuple[float, float, float] = (1.0, 2.0, 3.0),
        origin: tuple[float, float, float] = (-10.0, 20.0, 35.0),
        name: str = "scan",
    ) -> Volume:
        from napari_hybridseg.formats import StoredImage

        cosines = np.eye(3) if direction is None else direction
        grid = Geometry((6, 5, 4), spacing, origin, tuple(np.ravel(cosines)))
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
        left = grid.world(index)[..., 0]
        array = (left - left.mean()).astype(np.float32)[None]
        return Volume.from_stored(StoredImage(array, grid, modality="CT"), name)

    return make
