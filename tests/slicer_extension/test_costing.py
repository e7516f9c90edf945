"""What a run costs is said before it, and the engine is warm for it; nothing waits for that."""

from __future__ import annotations

from typing import Any

import slicer
from panels import Open, bright
from test_frames import Beating
from waiting import wait_until

LINE = "2 windows · about 8 s · 350 MB"


def jobs_of(module: Any) -> list[str]:
    """Give the names of the jobs that the engine gets from now on."""
    asked: list[str] = []
    engine = module.controller.bench.engine
    begin = engine._begin

    def remember(job: Any, listener: Any, *, is_background: bool) -> None:
        asked.append(job.kind)
        begin(job, listener, is_background=is_background)

    engine._begin = remember
    return asked


def test_windows_and_memory_are_said_at_once_and_the_time_follows(open_module: Open) -> None:
    module = open_module()
    bright()
    assert module.ui.costLine.text.startswith("1 window · ")
    assert "about" not in module.ui.costLine.text
    wait_until(lambda: module.ui.costLine.text == LINE)
    assert module.ui.segmentButton.toolTip.endswith(LINE)
    assert not module.state.phase.is_busy


def test_it_is_asked_once_for_what_did_not_change(open_module: Open) -> None:
    module = open_module()
    asked = jobs_of(module)
    bright()
    wait_until(lambda: module.ui.costLine.text == LINE)
    for _ in range(3):
        module.controller.look()
    waited: list[int] = []
    wait_until(lambda: waited.append(1) or len(waited) > 500)  # longer than it waits to ask
    assert asked.count("estimate") == 1
    assert module.ui.costLine.text == LINE


def test_other_options_of_the_same_network_need_no_second_look(open_module: Open) -> None:
    module = open_module()
    bright()
    wait_until(lambda: module.ui.costLine.text == LINE)
    choosing = module.controller.choosing
    choosing.options(module.state.options.model_copy(update={"tta": True, "body_only": False}))
    assert "about" in module.ui.costLine.text
    assert module.ui.costLine.text != LINE


def test_a_run_waits_for_it_a_moment_only(open_module: Open) -> None:
    module = open_module("times-for-ever", patience_s=0.3, grace_s=1.0)
    bright()
    asked = jobs_of(module)
    wait_until(lambda: "estimate" in asked)
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


def test_its_failure_is_only_in_the_log(open_module: Open) -> None:
    module = open_module("times-for-ever")
    bright()
    asked = jobs_of(module)
    wait_until(lambda: "estimate" in asked)
    module.controller.bench.engine._process.kill()
    wait_until(lambda: "The run was not timed" in module.controller.log.text)
    assert module.state.phase.value == "idle"
    assert module.ui.costLine.text.startswith("1 window")
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done"


def test_nothing_is_said_of_what_cannot_be_run(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    assert module.ui.costLine.text
    slicer.mrmlScene.RemoveNode(volume)
    assert module.ui.costLine.text == ""


def test_what_was_chosen_during_a_run_is_costed_after_it(open_module: Open) -> None:
    module = open_module("hangs")
    bright()
    wait_until(lambda: module.ui.costLine.text == LINE)
    module.segment()
    wait_until(lambda: module.state.phase.value == "running")
    choosing = module.controller.choosing
    choosing.options(module.state.options.model_copy(update={"tta": True, "body_only": False}))
    module.controller.cancel()
    module.wait_until_done()
    assert module.ui.costLine.text != LINE
    assert module.ui.costLine.text


def test_closing_the_scene_asks_for_nothing(open_module: Open) -> None:
    module = open_module()
    bright()
    asked = jobs_of(module)
    slicer.mrmlScene.Clear(0)
    waited: list[int] = []
    wait_until(lambda: waited.append(1) or len(waited) > 500)
    assert "estimate" not in asked


def test_of_a_sequence_it_is_each_frame_that_costs_so_much(open_module: Open) -> None:
    module, sequence = open_module(), Beating()
    module.choose(module.ui.volumeSelector, sequence.volume)
    module.controller.look()
    wait_until(lambda: module.ui.costLine.text == LINE)
    module.ui.allFramesBox.click()
    assert module.ui.costLine.text == f"each frame: {LINE}"
