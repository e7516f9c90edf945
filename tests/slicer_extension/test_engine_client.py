"""The engine process through QProcess: what it says, and every way in which it can end."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
from HybridSegLib.bench.engine_client import EngineClient
from HybridSegLib.bench.volumes import volume_of
from HybridSegLib.engine_process import EngineProcess
from waiting import fake_engine, wait_until

from napari_hybridseg.engine.failures import EngineDied, EngineError, JobFailed
from napari_hybridseg.engine.jobs import DevicesJob, SegmentJob
from napari_hybridseg.engine.scratch import ScratchError
from napari_hybridseg.events import Note, Progress, RegionDone


class Listener:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.endings: list[Any] = []

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def on_success(self, value: Any) -> None:
        self.endings.append(value)

    def on_failure(self, error: Exception) -> None:
        self.endings.append(error)

    def on_cancelled(self) -> None:
        self.endings.append("cancelled")

    @property
    def is_over(self) -> bool:
        return bool(self.endings)


@pytest.fixture
def open_engine() -> Iterator[Callable[..., EngineClient]]:
    opened: list[EngineClient] = []

    def open_(mood: str, **options: Any) -> EngineClient:
        opened.append(EngineClient(fake_engine(mood), **options))
        return opened[-1]

    yield open_
    for client in opened:
        client.close()


@pytest.fixture
def job(scene: Any) -> SegmentJob:
    return SegmentJob(volume=volume_of(phantoms.volume()), checkpoint=Path("net.safetensors"))


def run(client: EngineClient, job: Any) -> Listener:
    listener = Listener()
    client.start(job, listener)
    wait_until(lambda: listener.is_over)
    return listener


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def scratch_files(client: EngineClient) -> set[str]:
    return client._scratch.names() if client._scratch else set()


def test_a_job_says_how_far_it_is_and_gives_its_result(open_engine: Any, job: SegmentJob) -> None:
    listener = run(open_engine("well"), job)
    kinds = {type(event) for event in listener.events}
    assert kinds == {Progress, Note, RegionDone}
    (result,) = listener.endings
    expected = np.clip(np.rint(job.volume.array[0] / 100.0), 0, 9)
    np.testing.assert_array_equal(result.array, expected)
    assert result.source == job.volume.source


def test_the_engine_stays_warm_and_no_file_stays(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("well")
    run(client, job)
    pid = client.pid
    run(client, job)
    assert client.pid == pid
    assert not scratch_files(client)


def test_arrays_are_exchanged_as_npy_and_never_as_nifti(open_engine: Any, job: SegmentJob) -> None:
    client, listener = open_engine("hangs"), Listener()
    client.start(job, listener)
    wait_until(lambda: bool(listener.events))
    names = scratch_files(client)
    assert names
    assert all(name.endswith(".npy") for name in names), names
    np.testing.assert_array_equal(np.load(client._scratch.path / min(names)), job.volume.array)


def test_a_failure_is_one_sentence_and_its_details_go_to_the_log(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("fails")
    lines: list[str] = []
    client.logged.connect(lines.append)
    (error,) = run(client, job).endings
    assert isinstance(error, JobFailed)
    assert str(error) == "The network refused."
    assert "Traceback: a detail" in lines


@pytest.mark.parametrize(
    ("mood", "words"), [("dies", "killed by the system"), ("silent-end", "exit code 0")]
)
def test_its_death_is_told_once_and_the_next_job_gets_a_new_one(
    open_engine: Any, job: SegmentJob, mood: str, words: str
) -> None:
    client = open_engine(mood)
    (error,) = run(client, job).endings
    assert isinstance(error, EngineDied)
    assert words in str(error)
    (report,) = run(client, DevicesJob()).endings
    assert report.devices


def test_bytes_that_are_no_text_are_logged_and_do_no_harm(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("garbled")
    lines: list[str] = []
    client.logged.connect(lines.append)
    listener = run(client, job)
    assert listener.endings[0].array.any()
    wait_until(lambda: any("from a library" in line for line in lines))
    assert any("not utf-8" in line for line in lines)


def test_a_result_that_was_lost_is_a_failure(open_engine: Any, job: SegmentJob) -> None:
    (error,) = run(open_engine("half-result"), job).endings
    assert isinstance(error, ScratchError)


def test_cancelling_ends_the_job_and_keeps_an_engine_that_listens(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("hangs")
    listener = Listener()
    client.start(job, listener)
    wait_until(lambda: bool(listener.events))
    pid = client.pid
    client.cancel()
    wait_until(lambda: listener.is_over)
    assert listener.endings == ["cancelled"]
    assert client.pid == pid


def test_an_engine_that_does_not_listen_is_killed_with_its_children(
    open_engine: Any, job: SegmentJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_file = tmp_path / "child"
    monkeypatch.setenv("FAKE_CHILD_FILE", str(child_file))
    client = open_engine("with-child", grace_s=0.3)
    listener = Listener()
    client.start(job, listener)
    wait_until(lambda: child_file.exists() and bool(child_file.read_text()))
    pid, child = client.pid, int(child_file.read_text())
    assert is_running(child)
    client.cancel()
    wait_until(lambda: listener.is_over)
    assert listener.endings == ["cancelled"]
    wait_until(lambda: not is_running(pid) and not is_running(child))


def test_silence_is_told(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("hangs-deaf", grace_s=0.2, silence_s=0.3)
    listener = Listener()
    client.start(job, listener)
    wait_until(
        lambda: any(isinstance(e, Note) and "said nothing" in e.message for e in listener.events)
    )
    client.cancel()
    wait_until(lambda: listener.is_over)


def test_one_job_at_a_time(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("hangs")
    client.start(job, Listener())
    with pytest.raises(EngineError, match="busy"):
        client.start(job, Listener())


def test_a_job_waits_for_one_in_the_background(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("well")
    first, second = Listener(), Listener()
    assert client.aside(DevicesJob(), first)
    client.start(job, second)
    wait_until(lambda: second.is_over)
    assert first.endings[0].devices
    assert second.endings[0].array.any()


def test_a_job_that_waits_can_be_cancelled(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("well")
    first, second = Listener(), Listener()
    assert client.aside(DevicesJob(), first)
    client.start(job, second)
    client.cancel()
    assert second.endings == ["cancelled"]
    wait_until(lambda: first.is_over)
    assert second.endings == ["cancelled"]


def test_what_waits_in_the_background_makes_room_for_the_user(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("well")
    first, aside, users = Listener(), Listener(), Listener()
    assert client.aside(DevicesJob(), first)
    assert not client.aside(DevicesJob(), Listener())
    assert client.aside(DevicesJob(), aside, may_wait=True)
    assert not client.aside(DevicesJob(), Listener(), may_wait=True)
    client.start(job, users)
    assert aside.endings == ["cancelled"]
    with pytest.raises(EngineError, match="busy"):
        client.start(job, Listener())
    wait_until(lambda: users.is_over)
    assert first.endings[0].devices
    assert users.endings[0].array.any()


def test_something_in_the_background_is_refused_while_the_user_waits(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("hangs")
    client.start(job, Listener())
    refused = Listener()
    assert not client.aside(DevicesJob(), refused, may_wait=True)
    assert not refused.is_over


def test_a_job_follows_one_that_is_being_cancelled(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("hangs-deaf", grace_s=0.3)
    first, second = Listener(), Listener()
    client.start(job, first)
    wait_until(lambda: bool(first.events))
    client.cancel()
    client.start(DevicesJob(), second)
    wait_until(lambda: second.is_over)
    assert first.endings == ["cancelled"]
    assert second.endings[0].devices


def test_a_background_job_that_does_not_help_is_stopped_at_once(
    open_engine: Any, job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_engine("hangs")
    first, second = Listener(), Listener()
    monkeypatch.setattr(SegmentJob, "helps", lambda self, other: False)
    assert client.aside(job, first)
    wait_until(lambda: bool(first.events))
    client.start(DevicesJob(), second)
    wait_until(lambda: second.is_over)
    assert first.endings == ["cancelled"]
    assert second.endings[0].devices


def test_the_background_keeps_the_user_waiting_for_a_moment_only(
    open_engine: Any, job: SegmentJob
) -> None:
    client = open_engine("hangs-deaf", patience_s=0.2, grace_s=0.2)
    first, second = Listener(), Listener()
    assert client.aside(job, first)
    client.start(DevicesJob(), second)
    wait_until(lambda: second.is_over)
    assert first.endings == ["cancelled"]
    assert second.endings[0].devices


def test_a_program_that_is_not_there_is_told(scene: Any, job: SegmentJob) -> None:
    client = EngineClient(("/no/such/PythonSlicer", "-m", "napari_hybridseg", "worker"))
    (error,) = run(client, job).endings
    assert isinstance(error, EngineDied)
    assert "could not be started" in str(error)
    client.close()


def test_it_is_slicers_own_python_that_runs_the_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from HybridSegLib.bench.bench import engine_command

    monkeypatch.setattr(slicer.app, "slicerHome", "/opt/Slicer")
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ("-m", "napari_hybridseg", "worker")
    assert engine_command() == ("/opt/Slicer/bin/PythonSlicer", *arguments)
    python = tmp_path / "PythonSlicer"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    assert engine_command() == (str(python), *arguments)


def test_a_file_where_slicer_was_started_stands_in_for_no_module(
    scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    # what Python 3.9 does by itself: it knows no PYTHONSAFEPATH
    code = "import os, sys; sys.path.insert(0, os.getcwd()); import colorsys"
    process = EngineProcess((sys.executable, "-c", code))
    ended: list[int | None] = []
    process.ended.connect(ended.append)
    process.start()
    wait_until(lambda: bool(ended))
    assert ended == [0]


def test_closing_ends_the_process_and_removes_the_folder(open_engine: Any, job: SegmentJob) -> None:
    client = open_engine("hangs-deaf")
    listener = Listener()
    client.start(job, listener)
    wait_until(lambda: bool(listener.events))
    pid, folder = client.pid, client._scratch.path
    client.close()
    wait_until(lambda: not is_running(pid))
    assert not folder.exists()
    assert not listener.endings


def test_an_engine_that_ends_too_late_is_heard_no_more(
    open_engine: Any, job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("HybridSegLib.bench.engine_client._LAST_MOMENT_MS", 0)
    client = open_engine("hangs-deaf")
    listener = Listener()
    client.start(job, listener)
    wait_until(lambda: bool(listener.events))
    pid = client.pid
    client.close()
    gc.collect()  # its destructor tells of its end; a callback that fails then fails the test
    wait_until(lambda: not is_running(pid))
    assert not listener.endings


def test_a_large_volume_does_not_stop_the_gui(open_engine: Any, scene: Any) -> None:
    array = np.zeros((200, 300, 300), np.int16)  # 36 MB
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=phantoms.OBLIQUE)
    job = SegmentJob(volume=volume_of(node), checkpoint=Path("net.safetensors"))
    client = open_engine("fails")
    listener = Listener()
    client.start(job, listener)
    longest = wait_until(lambda: listener.is_over)
    assert longest < 0.5, os.getloadavg()
