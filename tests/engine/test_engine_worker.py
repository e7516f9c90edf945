"""The worker's loop, run in a thread, with jobs made for the test."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from napari_hybridseg.engine.codec import encode_fields
from napari_hybridseg.engine.jobs import Job
from napari_hybridseg.engine.kinds import JobKind
from napari_hybridseg.engine.protocol import (
    Cancel,
    Reply,
    Request,
    Steer,
    cancel_line,
    event_of_reply,
    parse_reply,
    request_line,
    steer_line,
)
from napari_hybridseg.engine.scratch import ArrayFolder
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.engine.worker import Worker
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Progress, RegionDone, Result


class Count(Job):
    """Count to a number; what it does at the end says ``end``."""

    kind = "count"

    to: int
    end: str = "result"
    step_s: float = 0.0


CLOSED: list[str] = []
STEPS: list[int] = []


def run_count(job: Count, warm: Warm) -> Iterator[Event]:
    try:
        for step in range(job.to):
            STEPS.append(step)
            time.sleep(job.step_s)
            yield Progress("Counting", step, job.to)
            if warm.is_finish_asked():
                break
        if job.end == "result":
            yield Result((job.to, warm.threads))
        elif job.end == "array":
            yield RegionDone((0, 0, 0), np.full((2, 3, 4), 7, np.uint8))
            yield Result(np.arange(job.to))
        elif job.end == "sentence":
            raise HybridSegError("The moon is not in the volume.")
        elif job.end == "memory":
            raise MemoryError
        elif job.end == "gpu":
            raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")
        elif job.end == "bug":
            raise ZeroDivisionError("division by zero")
        elif job.end == "odd":
            yield Result(object())
    finally:
        CLOSED.append(job.end)


def pipe() -> tuple[BinaryIO, BinaryIO]:
    out, into = os.pipe()
    return os.fdopen(out, "rb"), os.fdopen(into, "wb")


class Desk:
    """The other side of a worker's pipes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inbox, self._orders = pipe()
        self._replies, outbox = pipe()
        self.worker = Worker(inbox, outbox, {"count": JobKind(Count, run_count)}, threads=3)
        self.thread = threading.Thread(target=self.worker.run, daemon=True)
        self.thread.start()

    def send(self, line: bytes) -> None:
        self._orders.write(line)
        self._orders.flush()

    def ask(self, job_id: int, **params: Any) -> None:
        fields = encode_fields(Count(**params), lambda array: "")
        self.send(request_line(Request(job_id, "count", self.folder, fields)))

    def next(self) -> Reply:
        reply = parse_reply(self._replies.readline())
        assert reply is not None
        return reply

    def ending(self) -> Reply:
        while not (reply := self.next()).is_ending:
            pass
        return reply

    def leave(self) -> None:
        self._orders.close()

    def go_deaf(self) -> None:
        self._replies.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    CLOSED.clear()
    STEPS.clear()
    # it looks at every object of the test process, which takes a second
    monkeypatch.setattr(Warm, "return_memory", lambda self: CLOSED.append("memory"))
    desk = Desk(tmp_path)
    yield desk
    desk.leave()
    desk.thread.join(5)
    assert not desk.thread.is_alive()


def test_jobs_run_one_after_the_other_in_order(desk: Desk) -> None:
    for job_id in (4, 5, 6):
        desk.ask(job_id, to=2)
    replies = [desk.next() for _ in range(9)]
    assert [reply.id for reply in replies] == [4] * 3 + [5] * 3 + [6] * 3
    assert event_of_reply(replies[-1], np.load) == Result((2, 3))
    desk.leave()
    desk.thread.join(5)
    assert CLOSED == ["result", "memory"] * 3


def test_arrays_are_in_the_folder_of_the_request(desk: Desk) -> None:
    desk.ask(1, to=0, end="array")
    take = ArrayFolder(desk.folder).take
    region, result = (event_of_reply(desk.next(), take) for _ in range(2))
    assert isinstance(region, RegionDone)
    assert (region.labels == 7).all()
    assert isinstance(result, Result)
    assert result.value.shape == (0,)
    assert all(name.startswith("out-1-") for name in ArrayFolder(desk.folder).names())


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("sentence", r"^The moon is not in the volume\.$"),
        ("memory", "computer ran out of memory"),
        ("gpu", "GPU ran out of memory"),
        ("bug", "ZeroDivisionError: division by zero"),
        ("odd", "object cannot travel"),
        ("nothing", "without a result"),
    ],
)
def test_a_failure_is_one_sentence_and_the_next_job_works(
    desk: Desk, end: str, sentence: str
) -> None:
    desk.ask(1, to=1, end=end)
    reply = desk.ending()
    assert reply.event == "error"
    with pytest.raises(HybridSegError, match=sentence):
        raise HybridSegError(reply.fields["message"])
    assert "\n" not in reply.fields["message"]
    assert "Traceback" in reply.fields["details"]
    desk.ask(2, to=0)
    assert desk.ending().event == "result"


@pytest.mark.parametrize(
    "order",
    [
        {"id": 1, "job": "dance", "folder": "x", "params": {}},
        {"id": 1, "job": "count", "folder": "x", "params": {"to": "many"}},
        {"id": 1, "job": "count", "folder": "x", "params": {"to": 1, "fro": 2}},
        {"id": 1, "job": "count", "folder": "x", "params": {"to": {"$": "what"}}},
        {"id": 1, "job": "count", "folder": "x", "params": {"to": {"$": "array", "name": "y"}}},
    ],
)
def test_an_order_that_makes_no_sense_fails_alone(desk: Desk, order: dict[str, Any]) -> None:
    desk.send(b"\xff garbage\n[]\n{}\n")
    desk.send(json.dumps(order).encode() + b"\n")
    assert desk.next().event == "error"
    desk.ask(2, to=0)
    assert desk.next().event == "result"


def test_cancel_closes_the_generator(desk: Desk) -> None:
    desk.ask(1, to=10**9)
    desk.next()
    desk.send(cancel_line(Cancel(1)))
    assert desk.ending().event == "cancelled"
    assert CLOSED[0] == "result"


def test_a_job_that_is_asked_to_finish_gives_its_result(desk: Desk) -> None:
    desk.ask(1, to=10**9)
    desk.ask(2, to=3)
    desk.next()
    desk.send(steer_line(Steer(1, "finish")))
    assert desk.ending().event == "result"
    assert [desk.next().event for _ in range(3)] == ["progress"] * 3  # the next one is not asked
    assert desk.ending().event == "result"


@pytest.mark.parametrize(
    ("order", "event"),
    [
        (steer_line(Steer(1, "finish")), "result"),
        (steer_line(Steer(1, "go on")) + cancel_line(Cancel(1)), "cancelled"),
        (cancel_line(Cancel(1)), "cancelled"),
    ],
)
def test_a_paused_job_waits_for_an_order(desk: Desk, order: bytes, event: str) -> None:
    desk.ask(1, to=10**9, step_s=0.01)
    desk.next()
    desk.send(steer_line(Steer(1, "pause")))
    time.sleep(0.3)
    there = len(STEPS)
    time.sleep(0.2)
    assert len(STEPS) == there
    desk.send(order)
    assert desk.ending().event == event


def test_a_waiting_job_can_be_cancelled_and_others_are_not(desk: Desk) -> None:
    desk.ask(1, to=10**9)
    desk.ask(2, to=5)
    desk.ask(3, to=5)
    desk.send(cancel_line(Cancel(2)) + cancel_line(Cancel(99)) + cancel_line(Cancel(1)))
    assert [desk.ending().event for _ in range(3)] == ["cancelled", "cancelled", "result"]
    desk.send(cancel_line(Cancel(4)))
    desk.ask(4, to=5)
    assert desk.ending().event == "result"


def test_the_worker_ends_in_mid_job_when_the_viewer_is_gone(desk: Desk) -> None:
    desk.ask(1, to=10**9)
    desk.next()
    desk.leave()
    threading.Thread(target=desk.ending, daemon=True).start()
    desk.thread.join(5)
    assert not desk.thread.is_alive()
    assert CLOSED[0] == "result"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes differ")
def test_the_worker_ends_when_nobody_reads_its_replies(desk: Desk) -> None:
    desk.ask(1, to=10**9)
    desk.next()
    desk.go_deaf()
    desk.thread.join(5)
    assert not desk.thread.is_alive()
    assert CLOSED[0] == "result"
