"""The real engine process with real jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_support import is_running, wait_until

from napari_hybridseg.checkpoint import Checkpoint, save_checkpoint
from napari_hybridseg.engine import DeviceReport, EngineClient, EngineDied, JobCancelled, JobFailed
from napari_hybridseg.engine.worker import NICENESS
from napari_hybridseg.events import Event, RegionDone, Result
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import ScoreReport, score
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.volume import LabelMap, Volume

SHAPE = (20, 24, 28)
GEOMETRY = Geometry((28, 24, 20), (1.0, 1.5, 2.0), (-10.0, 5.0, 100.0), np.eye(3).ravel())
SCHEME = LabelScheme.from_names({1: "liver", 4: "spleen"})
# many small windows, so that there is a middle to cancel in
WINDOWS = WindowDefaults(size=(16, 16, 16), overlap=0.75)
CPU = SegmentOptions(device="cpu", threads=1)


@pytest.fixture(scope="module")
def client() -> Iterator[EngineClient]:
    with EngineClient() as client:
        yield client


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    config = {"channels": (4, 8), "strides": (2,)}
    card = ModelCard(
        name="tiny", architecture="unet", config=config, labels=SCHEME, windows=WINDOWS
    )
    weights = create_network("unet", 1, card.num_classes, **config).state_dict()
    return save_checkpoint(tmp_path_factory.mktemp("ckpt") / "tiny.safetensors", weights, card)


@pytest.fixture(scope="module")
def volume() -> Volume:
    array = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
    return Volume(geometry=GEOMETRY, source=GEOMETRY, array=array, name="noise", modality="CT")


def last_value(events: Iterator[Event]) -> object:
    *_, last = events
    assert isinstance(last, Result)
    return last.value


def test_importing_the_client_loads_no_torch_and_no_qt() -> None:
    code = (
        "import sys, napari_hybridseg.engine as e, napari_hybridseg.metrics as m; m.ScoreReport; "
        "print([n for n in ('torch', 'monai', 'numba', 'napari', 'qtpy') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.strip() == "[]"


def test_devices(client: EngineClient) -> None:
    report = last_value(client.devices())
    assert isinstance(report, DeviceReport)
    assert "cpu" in report.devices
    assert report.torch_version == torch.__version__
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert report.threads == max((cores or 1) - 1, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are POSIX")
def test_the_viewer_comes_first(client: EngineClient) -> None:
    list(client.devices())
    assert client.pid is not None
    mine, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, client.pid))
    assert its == min(mine + NICENESS, 19)


def test_scores_are_those_of_the_same_call_in_process(client: EngineClient) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 4:12, 4:12], labels[14:18, 2:9, 2:9] = 1, 4
    reference = LabelMap(geometry=GEOMETRY, source=GEOMETRY, array=labels, scheme=SCHEME)
    moved = np.roll(labels, 1, axis=2)
    prediction = LabelMap(geometry=GEOMETRY, source=GEOMETRY, array=moved, scheme=SCHEME)
    report = last_value(client.score(prediction, reference, labels=[1, 4], tolerance_mm=0.5))
    assert isinstance(report, ScoreReport)
    assert report == score(prediction, reference, labels=[1, 4], tolerance_mm=0.5)


def test_a_segmentation_is_that_of_the_same_call_in_process(
    client: EngineClient, volume: Volume, checkpoint: Checkpoint
) -> None:
    events = list(client.segment(volume, checkpoint.path, CPU))
    here = last_value(segment(volume, checkpoint, CPU))
    there = last_value(iter(events))
    assert isinstance(here, LabelMap)
    assert isinstance(there, LabelMap)
    np.testing.assert_array_equal(there.array, here.array)
    assert there.array.dtype == here.array.dtype
    assert (there.geometry, there.source, there.scheme) == (GEOMETRY, GEOMETRY, SCHEME)
    assert there.array.flags.writeable
    painted = np.full(SHAPE, 255)
    for event in events:
        if isinstance(event, RegionDone):
            (z, y, x), (depth, height, width) = event.start, event.labels.shape
            painted[z : z + depth, y : y + height, x : x + width] = event.labels
    np.testing.assert_array_equal(painted, here.array)


def test_the_next_job_on_the_same_volume_writes_no_file_and_leaves_none(
    client: EngineClient, volume: Volume, checkpoint: Checkpoint
) -> None:
    list(client.segment(volume, checkpoint.path, CPU))
    scratch = client._scratch
    assert scratch is not None
    (name,) = scratch.names()
    written = (scratch.path / name).stat().st_mtime_ns
    events = client.segment(volume, checkpoint.path, CPU)
    next(events)
    assert (scratch.path / name).stat().st_mtime_ns == written
    list(events)
    assert scratch.names() == {name}


def test_a_job_that_cannot_be_done_says_why(client: EngineClient, volume: Volume) -> None:
    with pytest.raises(JobFailed, match=r"nowhere\.safetensors"):
        list(client.segment(volume, "nowhere.safetensors", CPU))


@pytest.mark.parametrize("after", [1, 2, 5])
def test_cancel_in_the_middle_keeps_the_engine(
    client: EngineClient, volume: Volume, checkpoint: Checkpoint, after: int
) -> None:
    pid = client.pid
    events = client.segment(volume, checkpoint.path, CPU)
    for _ in range(after):
        assert not isinstance(next(events), Result)
    client.cancel()
    with pytest.raises(JobCancelled):
        list(events)
    assert client.pid == pid
    assert isinstance(last_value(client.devices()), DeviceReport)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_killed_in_the_middle_the_next_job_works(
    client: EngineClient, volume: Volume, checkpoint: Checkpoint
) -> None:
    events = client.segment(volume, checkpoint.path, CPU)
    next(events)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="run the job again"):
        list(events)
    assert isinstance(last_value(client.segment(volume, checkpoint.path, CPU)), LabelMap)


VIEWER = """
import contextlib, os, signal, subprocess
from napari_hybridseg.engine import EngineClient, Job, JobFailed
class Unknown(Job):
    kind = "unknown"
client = EngineClient()
for _ in range(2):
    with contextlib.suppress(JobFailed):
        list(client.run(Unknown()))
    os.kill(client.pid, signal.SIGINT)
pipe = client._process._popen.stdin.fileno()
holder = subprocess.Popen(["sleep", "60"], pass_fds=[pipe], stdout=subprocess.DEVNULL)
print(client.pid, holder.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_it_heeds_no_ctrl_c_and_ends_with_a_killed_viewer(tmp_path: Path) -> None:
    """The engine also ends when a child of the viewer still holds the engine's input open."""
    viewer = subprocess.run(
        [sys.executable, "-c", VIEWER],
        stdout=subprocess.PIPE,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert viewer.returncode == -signal.SIGKILL
    engine, holder = map(int, viewer.stdout.split())
    try:
        wait_until(lambda: not is_running(engine), seconds=8)
        assert is_running(holder)
    finally:
        os.kill(holder, signal.SIGKILL)


def test_what_libraries_print_does_not_disturb(tmp_path: Path) -> None:
    noise = (
        "import os, sys; os.write(1, b'half a line'); "
        "from napari_hybridseg.engine import kinds, worker; "
        "from napari_hybridseg.events import Result\n"
        "def loud(job, warm):\n"
        "    print('printed'); os.write(1, b'\\xff raw\\n'); os.system('echo from a shell')\n"
        "    assert sys.stdin.read() == ''\n"
        "    yield Result('still here')\n"
        "kinds.JOB_KINDS['devices'] = kinds.JobKind(kinds.DevicesJob, loud); worker.serve()"
    )
    with EngineClient([sys.executable, "-u", "-c", noise]) as client:
        assert last_value(client.devices()) == "still here"
        client.close()
        assert {"half a line", "printed", "from a shell"} <= set(client.log_tail.splitlines())
