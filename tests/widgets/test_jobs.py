from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_hybridseg.engine.jobs import DevicesJob, SegmentJob
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
