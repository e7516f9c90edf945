"""The engine in a real Python 3.9, as in 3D Slicer 5.8.

``HYBRIDSEG_PYTHON39`` names one that has torch and what else the engine needs; it takes the
package from here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.engine import EngineClient, JobFailed
from napari_hybridseg.events import Event, Result
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.resources import sample_volumes_folder, shipped_checkpoints_folder
from napari_hybridseg.volume import LabelMap, Volume, load_volume

ROOT = Path(__file__).resolve().parents[1]
# both Pythons may have other backends
OPTIONS = SegmentOptions(device="cpu", backend="torch", threads=1)


@pytest.fixture(scope="module")
def python39() -> str:
    """Give a Python 3.9 with torch, or skip."""
    python = os.environ.get("HYBRIDSEG_PYTHON39", "")
    if not python:
        pytest.skip("HYBRIDSEG_PYTHON39 names no Python 3.9 with torch")
    ask = [python, "-c", "import sys, torch; print(*sys.version_info[:2])"]
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "9"]
    return python


@pytest.fixture(scope="module")
def worker(python39: str) -> Iterator[EngineClient]:
    command = (python39, "-m", "napari_hybridseg", "worker")
    with EngineClient(command, environment={"PYTHONPATH": str(ROOT)}) as client:
        yield client


@pytest.fixture
def checkpoint() -> Checkpoint:
    return load_checkpoint(shipped_checkpoints_folder() / "torso-utnetv2-3d.safetensors")


@pytest.fixture
def volume() -> Volume:
    return load_volume(sample_volumes_folder() / "torso_b.nrrd")


def label_map_of(events: Iterator[Event]) -> LabelMap:
    *_, last = events
    assert isinstance(last, Result)
    assert isinstance(last.value, LabelMap)
    return last.value


def test_a_segmentation_is_the_same(
    worker: EngineClient, checkpoint: Checkpoint, volume: Volume
) -> None:
    there = label_map_of(worker.segment(volume, checkpoint.path, OPTIONS))
    here = label_map_of(segment(volume, checkpoint, OPTIONS))
    assert len(np.unique(here.array)) == 10
    # torch's own versions differ in the last bits of their sums
    assert np.count_nonzero(there.array != here.array) <= 5
    assert there.geometry == here.geometry


def test_a_failure_is_told_with_its_traceback(
    worker: EngineClient, volume: Volume, tmp_path: Path
) -> None:
    with pytest.raises(JobFailed) as caught:
        list(worker.segment(volume, tmp_path / "gone.safetensors", OPTIONS))
    assert "gone.safetensors" in str(caught.value)
    assert "Traceback" in caught.value.details


def test_the_command_line_knows_its_options(python39: str) -> None:
    done = subprocess.run(
        [python39, "-m", "napari_hybridseg", "segment", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "--overlap" in done.stdout
