"""Sequences of volumes: all frames, or the one that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import qt
import slicer
from HybridSegLib.bench.label_maps import label_map_of
from HybridSegLib.sections.volume import ONE_FRAME
from panels import Open, OpenModule, bright, segmentations
from test_panel import expected, values_of
from waiting import wait_until


class Beating:
    """A sequence of three frames, and the volume node that shows one of them."""

    def __init__(self) -> None:
        scene = slicer.mrmlScene
        self.sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beating")
        self.sequence.SetIndexName("time")
        frame = bright()
        for number in range(3):
            array = slicer.util.arrayFromVolume(frame)
            slicer.util.updateVolumeFromArray(frame, np.roll(array, 2 * number, axis=0))
            self.sequence.SetDataNodeAtValue(frame, str(10 * number))
        scene.RemoveNode(frame)
        self.browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
        self.browser.SetAndObserveMasterSequenceNodeID(self.sequence.GetID())
        self.show(0)
        self.volume = self.browser.GetProxyNode(self.sequence)

    def show(self, number: int) -> None:
        self.browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browser)


@pytest.fixture
def beating(open_module: Open) -> tuple[OpenModule, Beating]:
    """Give the open module, and a sequence of which it has the volume."""
    module, beating = open_module(), Beating()
    module.choose(module.ui.volumeSelector, beating.volume)
    module.controller.look()
    return module, beating


def segment_all(module: OpenModule) -> Any:
    module.ui.allFramesBox.click()
    module.segment()
    module.wait_until_done()
    assert "Segmented 3 frames" in module.ui.statusLine.text
    return module.result()


def turned_under(volume: Any) -> Any:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = phantoms.turned((0.0, 0.0, 1.4), (1, 1, 1))
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def test_the_panel_says_what_takes_one_frame_only(beating: tuple[OpenModule, Beating]) -> None:
    module, _ = beating
    assert module.state.has_frames
    assert ONE_FRAME in module.ui.volumeNotes.text
    module.choose(module.ui.volumeSelector, bright(name="another"))
    assert ONE_FRAME not in module.ui.volumeNotes.text


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_sequence_is_segmented_frame_by_frame(
    beating: tuple[OpenModule, Beating], is_turned: bool
) -> None:
    module, sequence = beating
    transform = turned_under(sequence.volume) if is_turned else None
    shown = segment_all(module)
    results = sequence.browser.GetSequenceNode(shown)
    assert results.GetNumberOfDataNodes() == 3
    for index in range(3):
        assert results.GetNthIndexValue(index) == str(10 * index)
        sequence.show(index)
        np.testing.assert_array_equal(values_of(shown, sequence.volume), expected(sequence.volume))
        assert shown.GetParentTransformNode() is transform


def test_the_network_sees_a_frame_as_its_transform_turns_it(
    beating: tuple[OpenModule, Beating],
) -> None:
    module, sequence = beating
    turned_under(sequence.volume)
    bench, state = module.controller.bench, module.state
    one, all_ = (
        bench.segment_task(sequence.volume, state.checkpoint, state.options, every).next_job()
        for every in (False, True)
    )
    assert all_.volume.source.same_grid(one.volume.source)
    np.testing.assert_array_equal(all_.volume.array, one.volume.array)


def test_all_frames_are_one_step_and_leave_nothing_when_cancelled(
    beating: tuple[OpenModule, Beating],
) -> None:
    module, sequence = beating
    before = slicer.mrmlScene.GetNumberOfNodes()
    state = module.state
    task = module.controller.bench.segment_task(
        sequence.volume, state.checkpoint, state.options, True
    )
    job = task.next_job()
    labels = (job.volume.array[0] > 150).astype(np.uint8)
    from napari_hybridseg.volume import LabelMap

    task.take(LabelMap(job.volume.geometry, job.volume.source, labels, phantoms.SCHEME))
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_frame_that_got_another_grid_meanwhile_is_a_sentence(
    beating: tuple[OpenModule, Beating],
) -> None:
    module, sequence = beating
    module.ui.allFramesBox.click()
    module.segment()
    for index in range(3):
        frame = sequence.sequence.GetNthDataNode(index)
        slicer.util.updateVolumeFromArray(frame, np.zeros((4, 5, 6), np.int16))
    module.wait_until_done()
    assert module.state.phase.value == "failed"
    assert "was changed while it was segmented" in module.ui.statusLine.text
    assert not segmentations()


def test_a_result_of_a_frame_that_is_not_shown_any_more_says_so(
    beating: tuple[OpenModule, Beating],
) -> None:
    module, sequence = beating
    module.segment()
    sequence.show(2)
    module.wait_until_done()
    assert "It is of frame 1 of 3, which is not the one" in module.ui.statusLine.text
    module.segment()
    module.wait_until_done()
    assert "frame" not in module.ui.statusLine.text


def test_a_frame_is_corrected_with_its_own_scan(
    beating: tuple[OpenModule, Beating], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module, sequence = beating
    monkeypatch.setattr(module.controller.correcting._editor, "edit", lambda *nodes: None)
    segment_all(module)
    sequence.show(1)
    module.ui.correctButton.click()
    correction = module.controller.parameters.reference("Correction")
    truth = expected(sequence.volume)
    assert correction.GetAttribute("HybridSeg.CheckpointPath")
    sequence.show(2)
    module.ui.countButton.click()
    assert "nothing is edited yet" in module.ui.editsLine.text  # its network's result stays
    qt.QFileDialog.answers = [str(tmp_path / "set")]
    module.ui.setButton.click()
    module.ui.acceptButton.click()
    assert "This correction is of frame 2 of 3; show that frame" in module.ui.statusLine.text
    assert not (tmp_path / "set").exists()
    sequence.show(1)
    found = label_map_of(correction, sequence.volume)
    np.testing.assert_array_equal(found.to_source(found.array), truth)
    module.ui.acceptButton.click()
    wait_until(lambda: "Accepted as case-0001" in module.ui.statusLine.text)


def test_the_results_of_all_frames_come_back_with_the_scene(
    beating: tuple[OpenModule, Beating], tmp_path: Path
) -> None:
    module, sequence = beating
    segment_all(module)
    truth = expected(sequence.volume)
    bundle = tmp_path / "scene.mrb"
    phantoms.save_and_load(bundle)
    assert module.state.has_frames
    assert segmentations()
    np.testing.assert_array_equal(
        values_of(module.result(), module.controller.parameters.reference("Volume")), truth
    )
