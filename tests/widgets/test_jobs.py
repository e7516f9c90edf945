from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_hybridseg.engine.jobs import (
    DevicesJob,
    Job,
    ReadyJob,
    RepairJob,
    SegmentJob,
    TeachJob,
)
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.widgets.jobs import JobRunner


@pytest.fixture
def runner(qapp, engine) -> Any:
    runner = JobRunner(lambda on_log: engine)
    yield runner
    runner.close()


def test_a_job_waits_for_the_look_at_devices_and_a_second_one_is_refused(
    runner, engine, make_volume, qtbot
):
    first, second = (SegmentJob(volume=make_volume(), checkpoint=Path("x")) for _ in range(2))
    done: list[Any] = []
    runner.succeeded.connect(lambda job, value: done.append(job))
    engine.gate.clear()
    runner.start(DevicesJob(), gives_way=True)
    runner.start(first)
    with pytest.raises(HybridSegError, match="Another job is running"):
        runner.start(second)  # while the first one waits
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    with pytest.raises(HybridSegError, match="Another job is running"):
        runner.start(second)  # while it runs
    engine.gate.set()
    qtbot.waitUntil(lambda: len(done) == 2)
    assert done[1] is first
    assert engine.jobs == [first]


class Unhelpful(SegmentJob):
    """Something on the side that helps nobody, and waits at the fake engine's gate."""

    def helps(self, other: Job) -> bool:
        return False


@pytest.mark.parametrize("kind", [SegmentJob, Unhelpful])
def test_a_job_on_the_side_is_cancelled_where_it_does_not_help(
    runner, engine, make_volume, qtbot, kind
):
    aside = kind(volume=make_volume(), checkpoint=Path("x"))
    wanted = SegmentJob(volume=make_volume(), checkpoint=Path("y"))
    done: list[Job] = []
    cancelled: list[Job] = []
    runner.succeeded.connect(lambda job, value: done.append(job))
    runner.cancelled.connect(cancelled.append)
    engine.gate.clear()
    runner.start(aside, gives_way=True)
    qtbot.waitUntil(lambda: engine.jobs == [aside])
    runner.start(wanted)
    if kind is Unhelpful:
        qtbot.waitUntil(lambda: engine.jobs == [aside, wanted])
        assert cancelled == [aside]
    engine.gate.set()
    qtbot.waitUntil(lambda: done[-1:] == [wanted])
    assert done == ([wanted] if kind is Unhelpful else [aside, wanted])


def test_getting_ready_helps_repairs_and_teaching_alone(make_volume):
    volume = make_volume()
    ready = ReadyJob(volume=volume)
    assert ready.helps(RepairJob.model_construct())
    assert ready.helps(TeachJob.model_construct())
    assert not ready.helps(SegmentJob(volume=volume, checkpoint=Path("x")))
