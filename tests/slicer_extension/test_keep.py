"""A run that is stopped, and what was finished of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from HybridSegLib.bench.tasks import SegmentTask
from panels import Open, bright, segmentations
from test_frames import Beating
from test_panel import expected, values_of
from waiting import wait_until

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap


def running(open_module: Open) -> tuple[Any, Any]:
    """Begin a run that never ends, and wait until a part of it is finished."""
    module = open_module("hangs")
    volume = bright()
    module.segment()
    wait_until(lambda: module.controller.runner._task._parts.part > 0)
    return module, volume


def test_what_is_finished_is_kept_as_an_unfinished_segmentation(open_module: Open) -> None:
    module, volume = running(open_module)
    assert not module.ui.keepButton.isHidden()
    module.ui.keepButton.click()
    module.wait_until_done()
    (node,) = segmentations()
    assert node.GetName().endswith(" (unfinished)")
    assert module.result() is node
    assert module.ui.statusLine.text.startswith("Stopped segmenting scan: the result is the")
    assert "% of the volume were segmented" in module.controller.log.text
    found, whole = values_of(node, volume), expected(volume)
    assert 0 < (found > 0).sum() < (whole > 0).sum()
    np.testing.assert_array_equal(found[found > 0], whole[found > 0])
    assert module.ui.keepButton.isHidden()


def test_cancel_keeps_nothing(open_module: Open) -> None:
    module, _ = running(open_module)
    module.ui.segmentButton.click()
    module.wait_until_done()
    assert module.ui.statusLine.text == "Cancelled; nothing was changed."
    assert not segmentations()


def test_without_parts_there_is_nothing_to_keep(open_module: Open) -> None:
    module = open_module("hangs")
    bright()
    options = module.state.options.model_copy(update={"live": False})
    module.controller.choosing.options(options)
    module.segment()
    assert module.ui.keepButton.isHidden()
    module.controller.stop_and_keep()
    module.wait_until_done()
    assert not segmentations()


def test_frames_and_other_jobs_offer_no_keeping(open_module: Open) -> None:
    module, sequence = open_module("hangs"), Beating()
    module.choose(module.ui.volumeSelector, sequence.volume)
    module.controller.look()
    module.ui.allFramesBox.click()
    module.segment()
    assert module.ui.keepButton.isHidden()
    module.controller.cancel()
    module.wait_until_done()


@pytest.mark.parametrize("is_whole_first", [True, False])
def test_an_unfinished_result_takes_no_whole_ones_place(
    open_module: Open, is_whole_first: bool
) -> None:
    module = open_module()
    volume = bright()
    labels = LabelScheme.from_names({1: "left part"})
    for is_whole in (is_whole_first, not is_whole_first):
        state = module.state
        task = module.controller.bench.segment_task(volume, state.checkpoint, state.options, False)
        assert isinstance(task, SegmentTask)
        job = task.next_job()
        array = np.full(job.volume.geometry.shape, int(is_whole), np.uint8)
        task.take(LabelMap(job.volume.geometry, job.volume.source, array, labels))
        task._is_whole = is_whole
        task.finish()
    names = sorted(node.GetName() for node in segmentations())
    if is_whole_first:
        assert len(names) == 2
        assert names[1] == names[0] + " (unfinished)"
    else:
        assert len(names) == 1  # the whole one took the unfinished one's place, and its name
        assert "unfinished" not in names[0]
