"""Whatever the engine process does, the viewer gets an answer and the next job works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import is_running, wait_until

from napari_hybridseg.engine import (
    EngineClient,
    EngineDied,
    EngineError,
    Job,
    JobCancelled,
    JobFailed,
    ScratchError,
)
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Progress, Result

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-S", "-E", str(HERE / "fake_engine.py")]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class Play(Job):
    """What the fake engine does, step by step."""

    kind = "play"

    script: tuple[str, ...]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineClient]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with EngineClient(COMMAND, grace_s=0.3) as client:
        yield client


def play(client: EngineClient, *script: str) -> Iterator[Event]:
    return client.run(Play(script=script))


def answer(client: EngineClient, text: str = "yes") -> int:
    """Run a job that works, and give the engine's process id."""
    *_, last = play(client, f"result {text}")
    assert isinstance(last, Result)
    assert last.value[0] == text
    return last.value[1]


def test_events_come_in_order_and_the_engine_stays_warm(client: EngineClient) -> None:
    events = list(play(client, "say one", "say two", "result done"))
    assert [event.stage for event in events[:2]] == ["one", "two"]  # type: ignore[union-attr]
    assert isinstance(events[2], Result)
    assert events[2].value[1] == answer(client) == client.pid


def test_nothing_is_started_before_the_first_job(tmp_path: Path, client: EngineClient) -> None:
    assert client.pid is None
    assert list(tmp_path.iterdir()) == []
    play(client, "result x")
    assert client.pid is None


def test_garbage_on_the_line_goes_to_the_log(client: EngineClient) -> None:
    events = list(play(client, "garbage", "say one", "garbage", "result done"))
    assert len(events) == 2
    assert "not json" in client.log_tail


def test_a_failed_job_says_why_and_the_engine_lives_on(client: EngineClient) -> None:
    pid = answer(client)
    with pytest.raises(JobFailed, match="no liver here") as caught:
        list(play(client, "error There is no liver here."))
    assert "Traceback" in caught.value.details
    assert "Traceback" in client.log_tail
    assert answer(client) == pid


def test_log_lines_reach_the_callback_as_they_come() -> None:
    lines: list[str] = []
    with EngineClient(COMMAND, grace_s=0.2, on_log=lines.append) as client:
        events = play(client, "log hello", "say one", "deaf")
        next(events)
        wait_until(lambda: lines == ["hello"])
        client.cancel()


@posix
def test_a_killed_engine_is_said_and_the_next_job_works(client: EngineClient) -> None:
    pid = answer(client)
    events = play(client, "log last words", "say one", "deaf")
    next(events)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="memory") as caught:
        next(events)
    assert isinstance(caught.value, HybridSegError)
    assert "last words" in caught.value.details
    assert answer(client) != pid


@posix
def test_an_engine_killed_between_jobs_is_not_even_noticed(client: EngineClient) -> None:
    pid = answer(client)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: client.pid is None)
    assert answer(client) != pid


@posix
def test_a_crash_is_told_from_lack_of_memory(client: EngineClient) -> None:
    with pytest.raises(EngineDied, match="SIGSEGV"):
        list(play(client, f"kill {int(signal.SIGSEGV)}"))
    answer(client)


def test_an_engine_that_ends_in_mid_job_is_said(client: EngineClient) -> None:
    with pytest.raises(EngineDied, match="exit code 3"):
        list(play(client, "log Illegal moon phase", "say one", "die 3"))
    assert "Illegal moon phase" in client.log_tail
    answer(client)


def test_an_engine_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    with (
        EngineClient([str(tmp_path / "nothing")]) as client,
        pytest.raises(EngineDied, match="could not be started"),
    ):
        list(play(client, "result x"))


def test_the_engine_gets_the_variables_that_it_is_given() -> None:
    say = "import os; print(os.environ['HYBRIDSEG_CACHE'], 'HOME' in os.environ)"
    with (
        EngineClient([sys.executable, "-c", say], environment={"HYBRIDSEG_CACHE": "/x"}) as client,
        pytest.raises(EngineDied),
    ):
        list(play(client, "result x"))
    assert "/x True" in client.log_tail


def test_an_engine_that_is_no_engine_is_said() -> None:
    with (
        EngineClient([sys.executable, "-c", "import no_such_module"]) as client,
        pytest.raises(EngineDied, match="exit code 1"),
    ):
        list(play(client, "result x"))
    assert "no_such_module" in client.log_tail


@posix
def test_children_die_with_the_engine(client: EngineClient) -> None:
    events = play(client, "child", "deaf")
    child = next(events)
    assert isinstance(child, Progress)
    assert is_running(int(child.stage))
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(EngineDied):
        next(events)
    wait_until(lambda: not is_running(int(child.stage)))


def test_cancel_by_message_keeps_the_engine_warm(client: EngineClient) -> None:
    pid = answer(client)
    events = play(client, "say one", "wait")
    next(events)
    client.cancel()
    client.cancel()
    with pytest.raises(JobCancelled):
        next(events)
    assert answer(client) == pid


def test_an_engine_that_does_not_listen_is_killed_after_the_grace_period(
    client: EngineClient,
) -> None:
    pid = answer(client)
    events = play(client, "say one", "deaf")
    next(events)
    began = time.monotonic()
    client.cancel()
    assert time.monotonic() - began < 0.1
    with pytest.raises(JobCancelled):
        next(events)
    assert 0.25 < time.monotonic() - began < 2
    assert answer(client) != pid


def test_no_result_comes_after_a_cancel(client: EngineClient) -> None:
    events = play(client, "say one", "result too late")
    next(events)
    client.cancel()
    with pytest.raises(JobCancelled):
        next(events)


def test_cancel_without_a_job_does_nothing(client: EngineClient) -> None:
    client.cancel()
    pid = answer(client)
    client.cancel()
    assert answer(client) == pid


def test_closing_the_iterator_cancels(client: EngineClient) -> None:
    pid = answer(client)
    events = play(client, "say one", "wait")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert answer(client) == pid
    events = play(client, "say one", "deaf")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert answer(client) != pid


def test_cancel_at_any_moment_ends_the_job_and_spares_the_next(client: EngineClient) -> None:
    chance = random.Random(5)
    for turn in range(20):
        over = threading.Event()

        def keep_cancelling(over: threading.Event, wait_s: float) -> None:
            # the first may come before the job began, and then is for no job at all
            while not over.wait(wait_s):
                client.cancel()

        canceller = threading.Thread(target=keep_cancelling, args=(over, chance.uniform(0, 0.02)))
        canceller.start()
        with pytest.raises(JobCancelled):
            list(play(client, "say x", "sleep 0.005", "say y", "sleep 0.005", "say z", "wait"))
        over.set()
        canceller.join()
        answer(client, f"after {turn}")


def test_one_job_at_a_time(client: EngineClient) -> None:
    events = play(client, "say one", "wait")
    next(events)
    with pytest.raises(EngineError, match="busy"):
        answer(client)
    client.cancel()
    with pytest.raises(JobCancelled):
        next(events)
    answer(client)


def test_close_cancels_from_another_thread_and_removes_the_folder(tmp_path: Path) -> None:
    client = EngineClient(COMMAND, grace_s=0.2)
    ends: list[BaseException] = []

    def work() -> None:
        try:
            list(play(client, "say one", "deaf"))
        except JobCancelled as end:
            ends.append(end)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: client.pid is not None)
    client.close()
    client.close()
    thread.join(5)
    assert len(ends) == 1
    with pytest.raises(EngineError, match="closed"):
        answer(client)


def test_the_folder_lives_as_long_as_the_client(tmp_path: Path, client: EngineClient) -> None:
    answer(client)
    assert [path.name.startswith("hybridseg-") for path in tmp_path.iterdir()] == [True]
    client.close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_temporary_folder_a_job_fails_and_the_next_one_works(
    tmp_path: Path, client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ScratchError, match="free some space"):
        answer(client)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer(client)


def test_a_forgotten_client_ends_its_engine(tmp_path: Path) -> None:
    client = EngineClient(COMMAND)
    pid = answer(client)
    del client
    wait_until(lambda: not is_running(pid))


VIEWER = """
import sys
sys.path.insert(0, {here!r})
from test_engine_client import COMMAND, EngineClient, play
client = EngineClient(COMMAND)
events = play(client, "child", "result done")
print(next(events).stage, client.pid, flush=True)
"""


@posix
def test_nothing_stays_behind_when_the_viewer_ends_without_closing(tmp_path: Path) -> None:
    viewer = subprocess.run(
        [sys.executable, "-c", VIEWER.format(here=str(HERE))],
        stdout=subprocess.PIPE,
        timeout=20,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    child, engine = map(int, viewer.stdout.split())
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: not is_running(child))
    wait_until(lambda: not is_running(engine))
