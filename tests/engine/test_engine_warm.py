"""One network is kept, and never the wrong one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg import metrics
from napari_hybridseg.checkpoint import CheckpointError, load_checkpoint
from napari_hybridseg.engine import warm as module
from napari_hybridseg.engine.jobs import ScoreJob
from napari_hybridseg.engine.kinds import run_score
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap


class FakeCheckpoint:
    def __init__(self, path: Path) -> None:
        self.text = path.read_text()

    def build_network(self) -> object:
        return object()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "load_checkpoint", FakeCheckpoint)
    path = tmp_path / "a.safetensors"
    path.write_text("one")
    return path


def test_the_same_file_is_built_once(path: Path) -> None:
    warm = Warm()
    assert warm.network(path) is warm.network(path)


def test_a_file_that_changed_or_is_another_is_built_anew(path: Path) -> None:
    warm = Warm()
    networks = [warm.network(path)]
    path.write_text("longer")
    networks.append(warm.network(path))
    os.utime(path, ns=(1, 1))
    networks.append(warm.network(path))
    copy = path.with_name("b.safetensors")
    path.rename(copy)
    networks.append(warm.network(copy))
    assert len(set(map(id, networks))) == 4
    assert networks[1][0].text == "longer"  # type: ignore[attr-defined]


def test_after_a_failure_nothing_is_kept(path: Path) -> None:
    warm = Warm()
    network = warm.network(path)
    warm.drop()
    assert warm.network(path) is not network


def test_a_missing_file_is_said_even_when_it_was_there_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = Warm()
    warm.network(path)
    path.unlink()
    monkeypatch.setattr(module, "load_checkpoint", load_checkpoint)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        warm.network(path)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (16, 15)])
def test_a_core_is_left_to_the_viewer_where_there_is_more_than_one(
    cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert Warm().threads == threads
    assert Warm(5).threads == 5


def test_the_last_comparison_is_kept_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry((8, 8, 8), (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    scheme = LabelScheme.from_names({1: "liver"})
    array = np.zeros((8, 8, 8), np.uint8)
    array[2:5, 2:5, 2:5] = 1
    reference = LabelMap(geometry=geometry, source=geometry, array=array, scheme=scheme)
    painted = replace(reference, array=np.roll(array, 1, axis=0))
    warm, given = Warm(), []
    real = metrics.score
    monkeypatch.setattr(
        metrics, "score", lambda *a, since, **k: given.append(since) or real(*a, since=since, **k)
    )
    for prediction in (reference, painted):
        *_, result = run_score(ScoreJob(prediction=prediction, reference=reference), warm)
        assert result.value == real(prediction, reference)
    first, second = given
    assert first is None
    assert second.prediction is reference
