"""The real panel, driven by its buttons, with engines that behave well and badly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import qt
import slicer
from HybridSegLib.bench.label_maps import label_map_of
from panels import FakeInstallation, Open, bright, segmentations
from waiting import wait_until


def values_of(node: Any, volume: Any) -> Any:
    found = label_map_of(node, volume)
    return found.to_source(found.array)


def expected(volume: Any) -> Any:
    return (slicer.util.arrayFromVolume(volume) / 100).astype(np.uint8)


def test_it_says_what_to_do_first(open_module: Open) -> None:
    module = open_module()
    assert not module.ui.segmentButton.enabled
    assert module.ui.segmentHint.text.startswith("Load a volume first")
    assert module.ui.volumeLine.text.startswith("Drop a scan")


def test_segmenting_gives_a_segmentation_on_the_oblique_grid(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    assert module.ui.segmentButton.text == "Cancel"
    module.wait_until_done()
    assert "the result is the segmentation" in module.ui.statusLine.text
    node = module.result()
    np.testing.assert_array_equal(values_of(node, volume), expected(volume))
    assert module.ui.labelMapSelector.currentNode() is node
    assert module.ui.segmentButton.text == "Segment"


def test_progress_is_shown_while_it_runs(open_module: Open) -> None:
    module = open_module()
    bright()
    lines: list[str] = []
    module.state.changed.connect(lambda: lines.append(module.ui.statusLine.text))
    module.segment()
    module.wait_until_done()
    assert any(re.fullmatch(r"Segmenting · \d+ % · about \d s left", line) for line in lines)
    assert "A note from the engine." in module.ui.logView.plainText


def test_the_gui_turns_while_the_engine_works(open_module: Open) -> None:
    module = open_module()
    bright()
    turns: list[str] = []
    module.segment()
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: turns.append(module.state.progress_line))
    timer.start(5)
    module.wait_until_done()
    timer.stop()
    # a GUI that waits turns hardly at all, however loaded the machine is
    assert len(turns) > 10
    assert len(set(turns)) > 2


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("fails", "The network refused."),
        ("dies", "killed by the system"),
        ("silent-end", "before its job was done"),
        ("half-result", "was lost"),
    ],
)
def test_a_failure_is_a_sentence_and_the_next_run_may_start(
    open_module: Open, mood: str, words: str
) -> None:
    module = open_module(mood)
    bright()
    module.segment()
    module.wait_until_done()
    assert words in module.ui.statusLine.text
    assert module.ui.statusLine.styleSheet  # shown as an error
    assert not segmentations()
    assert module.ui.segmentButton.enabled


def test_what_hangs_can_be_cancelled(open_module: Open) -> None:
    module = open_module("hangs-deaf", grace_s=0.2)
    bright()
    module.segment()
    wait_until(lambda: module.ui.statusLine.text.startswith("Preparing"))
    module.ui.segmentButton.click()
    assert module.ui.segmentButton.text == "Cancelling…"
    assert not module.ui.segmentButton.enabled
    module.wait_until_done()
    assert module.ui.statusLine.text == "Cancelled; nothing was changed."
    assert not segmentations()


def test_garbage_from_the_engine_does_no_harm(open_module: Open) -> None:
    module = open_module("garbled")
    volume = bright()
    module.segment()
    module.wait_until_done()
    np.testing.assert_array_equal(values_of(module.result(), volume), expected(volume))
    assert "not utf-8" in module.ui.logView.plainText


def test_closing_the_scene_during_a_run_stops_it(open_module: Open) -> None:
    module = open_module("hangs")
    bright()
    module.segment()
    wait_until(lambda: module.ui.statusLine.text.startswith("Preparing"))
    slicer.mrmlScene.Clear(0)
    module.wait_until_done()
    assert module.ui.statusLine.text == "Cancelled: the scene was closed."
    assert module.controller.parameters.node.GetScene() is slicer.mrmlScene
    assert not module.ui.segmentButton.enabled
    bright(name="next")
    assert module.ui.volumeSelector.currentNode().GetName() == "next"


def test_a_run_on_a_scene_that_was_closed_leaves_no_result(open_module: Open) -> None:
    module = open_module()
    bright()
    module.segment()
    slicer.mrmlScene.Clear(0)
    volume = bright(name="next")
    wait_until(lambda: module.ui.segmentButton.enabled)
    module.segment()
    module.wait_until_done()
    (node,) = segmentations()
    assert node.GetName().startswith("next")
    np.testing.assert_array_equal(values_of(node, volume), expected(volume))


def test_a_scene_may_be_saved_and_added_to_during_a_run(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    volume = bright()
    bundle = tmp_path / "scene.mrb"
    module.segment()
    wait_until(lambda: module.ui.statusLine.text.startswith(("Preparing", "Segmenting")))
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)  # adds a second 'scan'
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 2
    assert module.state.phase.is_busy
    module.wait_until_done()
    (node,) = segmentations()
    assert node.GetNodeReference("HybridSegVolume") is volume
    np.testing.assert_array_equal(values_of(node, volume), expected(volume))
    module.segment()
    module.wait_until_done()
    assert "the result is the segmentation" in module.ui.statusLine.text


def test_a_volume_that_is_removed_meanwhile_still_gets_its_result(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    slicer.mrmlScene.RemoveNode(volume)
    module.wait_until_done()
    assert "closed meanwhile" in module.ui.statusLine.text
    assert len(segmentations()) == 1


def test_the_result_goes_to_the_volume_that_was_segmented(open_module: Open) -> None:
    module = open_module()
    first, second = bright(name="one"), bright(phantoms.PLAIN, "two")
    module.choose(module.ui.volumeSelector, first)
    module.segment()
    module.choose(module.ui.volumeSelector, second)
    module.wait_until_done()
    (node,) = segmentations()
    assert node.GetNodeReference("HybridSegVolume") is first
    assert module.result() is None  # the user is at the other volume now


def test_scores_are_there_as_soon_as_there_is_a_reference(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    truth = expected(volume)
    truth[2:4] = 0
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    assert module.ui.statusLine.text.endswith("against truth.")
    texts = module.widget.panel.review.table.texts()
    assert [row[0] for row in texts] == ["Organ", "left part", "right part", "mean"]
    assert texts[2][1] == "1.000"
    assert float(texts[1][1]) == pytest.approx(2 * 4 / (4 + 6), abs=1e-3)
    table = module.controller.parameters.reference("Scores")
    assert table.GetTable().GetNumberOfRows() == 3
    assert table.GetColumnName(0) == "label"


def test_editing_makes_the_scores_stale(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.wait_until_done()
    assert "Edited since" not in module.ui.scoreNotes.text
    node = module.result()
    key = node.GetSegmentation().GetSegmentIDs()[0]
    array = np.zeros(phantoms.SHAPE, np.uint8)
    array[1, 1, 1] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, key, volume)
    assert module.ui.scoreNotes.text.startswith("Edited since")


def test_a_click_leads_to_the_organ_and_a_second_one_to_its_largest_error(
    open_module: Open,
) -> None:
    module = open_module()
    volume = bright()
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    truth = expected(volume)
    truth[2:4, 3:9, 2:7] = 0  # the first planes are wrong
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    at = ras_of(volume)
    module.ui.scoreTable.cellClicked.emit(0, 0)
    wait_until(lambda: "its middle" in module.ui.statusLine.text)
    assert slice_offset(view) == pytest.approx(at((4.5, 5.5, 4.0))[2], abs=0.1)
    module.ui.scoreTable.cellClicked.emit(0, 1)
    assert "left part: the largest error, 5.0 mm." in module.ui.statusLine.text
    worst = [at((2.0, j, i))[2] for j in range(3, 9) for i in range(2, 7)]
    assert min(abs(slice_offset(view) - z) for z in worst) < 0.01


def segment_and_score(module: Any) -> Any:
    """Segment a volume, choose what it should be, and give the volume."""
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.wait_until_done()
    return volume


def test_a_click_after_loading_a_scene_still_leads_to_the_organ(
    open_module: Open, tmp_path: Path
) -> None:
    module = open_module()
    segment_and_score(module)
    phantoms.save_and_load(tmp_path / "scene.mrb")
    module.ui.scoreTable.cellClicked.emit(0, 0)
    wait_until(lambda: "its middle" in module.ui.statusLine.text)
    module.ui.scoreTable.cellClicked.emit(0, 0)
    assert "its middle" in module.ui.statusLine.text  # there is no error


def test_errors_are_not_those_of_another_label_map_than_was_scored(
    open_module: Open, tmp_path: Path
) -> None:
    module = open_module()
    volume = segment_and_score(module)
    scored = module.result().GetName()
    another = phantoms.label_map_node("another", expected(volume) * 0)
    module.choose(module.ui.labelMapSelector, another)
    phantoms.save_and_load(tmp_path / "scene.mrb")
    module.ui.scoreTable.cellClicked.emit(0, 0)
    assert module.ui.statusLine.text == (
        f"The scores are those of {scored} against truth; score again to go to the errors of "
        "what is chosen now."
    )


def ras_of(volume: Any) -> Callable[[tuple[float, float, float]], Any]:
    from HybridSegLib.slices import world_of_voxel

    return lambda voxel: world_of_voxel(volume, voxel)


def slice_offset(view: Any) -> float:
    return float(view.GetSliceToRAS().GetElement(2, 3))


def test_sorting_keeps_the_mean_last(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    truth = expected(volume)
    truth[2:6] = np.where(truth[2:6] == 1, 0, truth[2:6])
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    view = module.widget.panel.review.table
    header = module.ui.scoreTable.horizontalHeader()
    header.sectionClicked.emit(1)
    assert [row[0] for row in view.texts()[1:]] == ["left part", "right part", "mean"]
    header.sectionClicked.emit(1)
    assert [row[0] for row in view.texts()[1:]] == ["right part", "left part", "mean"]


def test_scores_can_be_taken_along(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.wait_until_done()
    qt.QFileDialog.answers = [str(tmp_path / "mine")]
    module.ui.saveScoresButton.click()
    assert (tmp_path / "mine.csv").read_text().startswith("label,name,status,dice")
    module.ui.copyButton.click()
    assert "left part\t1.000" in qt.QApplication.clipboard().text()


def test_choices_are_kept_with_the_scene(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.wait_until_done()
    box = module.ui.qualityBox
    box.activated.emit(box.findData("best"))
    checkpoint = module.controller.parameters.checkpoint
    bundle = tmp_path / "scene.mrb"
    before = module.widget.panel.review.table.texts()
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    slicer.mrmlScene.Clear(0)
    assert module.state.score is None
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)
    assert module.state.quality == "best"
    assert module.state.options.tta
    assert module.controller.parameters.checkpoint == checkpoint
    assert module.ui.volumeSelector.currentNode().GetName() == "scan"
    assert module.result().GetSegmentation().GetNumberOfSegments() == 2
    assert module.widget.panel.review.table.texts() == before


def test_a_result_that_is_deleted_leaves_a_panel_that_works(open_module: Open) -> None:
    module = open_module()
    bright()
    module.segment()
    module.wait_until_done()
    slicer.mrmlScene.RemoveNode(module.result())
    assert module.ui.reviewHint.text.startswith("There is no label map yet")
    module.segment()
    module.wait_until_done()
    assert len(segmentations()) == 1


def test_a_checkpoint_from_elsewhere_is_listed_and_its_card_shown(
    open_module: Open, tmp_path: Path
) -> None:
    module = open_module()
    shipped = module.state.checkpoint.path
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(shipped.read_bytes())
    qt.QFileDialog.answers = [str(copy)]
    module.ui.openCheckpointButton.click()
    assert module.ui.checkpointBox.currentText == "mine"
    assert "organs" in module.ui.checkpointLine.text
    html = module.controller.bench.card_html(module.state.checkpoint)
    assert "Limitations" in html


def test_a_damaged_checkpoint_says_so(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    bright()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no checkpoint")
    module.controller.choosing.checkpoint(bad)
    assert "is not a checkpoint file" in module.ui.checkpointLine.text
    assert not module.ui.segmentButton.enabled
    assert not module.ui.cardButton.enabled


def test_devices_are_listed(open_module: Open) -> None:
    module = open_module()
    wait_until(lambda: module.ui.deviceBox.findData("cpu") >= 0 and len(module.state.devices) == 2)
    wait_until(lambda: "pretended" in module.ui.deviceBox.itemText(0))


def test_options_go_into_the_job(open_module: Open) -> None:
    module = open_module()
    form = module.widget.panel.segment.form
    form.fields["tta"].widget.click()
    form.fields["overlap"].widget.setValue(0.3)
    assert module.state.options.tta
    assert module.state.options.overlap == 0.3
    assert module.state.quality == "custom"
    assert module.ui.qualityBox.currentText == "custom"


def test_without_the_engine_it_offers_to_install_it(open_module: Open) -> None:
    installation = FakeInstallation(is_there=False)
    module = open_module(installation=installation)
    bright()
    assert not module.ui.installFrame.isHidden()
    assert not module.ui.segmentButton.enabled
    assert "Install the engine first" in module.ui.segmentHint.text
    assert installation.asked == 0
    module.ui.installButton.click()
    assert module.ui.installFrame.isHidden()
    module.segment()
    module.wait_until_done()
    assert len(segmentations()) == 1


def test_a_slicer_that_is_too_old_says_so_at_once(open_module: Open) -> None:
    installation = FakeInstallation(is_there=False, obstacle="Too old; install a newer one.")
    module = open_module(installation=installation)
    bright()
    for line in (module.ui.installLine, module.ui.segmentHint, module.ui.statusLine):
        assert line.text == "Too old; install a newer one."
    assert module.ui.installButton.isHidden()


def test_an_installation_that_fails_says_why(open_module: Open) -> None:
    module = open_module(installation=FakeInstallation(is_there=False, error="No network here."))
    module.ui.installButton.click()
    assert module.ui.statusLine.text == "No network here."
    assert module.ui.installButton.enabled


def test_the_report_names_versions_and_no_node(open_module: Open) -> None:
    module = open_module()
    bright(name="Mustermann")
    module.segment()
    module.wait_until_done()
    assert "Mustermann" in module.controller.log.text
    module.ui.reportButton.click()
    text = qt.QApplication.clipboard().text()
    assert "Slicer: 5.12" in text
    assert "Mustermann" not in text
    assert "[node 1]" in text


def test_a_panel_that_is_gone_hears_the_scene_no_more(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.ui.volumeSelector.setCurrentNode(volume)
    assert module.controller.parameters.reference("Volume") is volume
    module.close()
    module.ui.volumeSelector.setCurrentNode(None)  # its widgets may outlive it
    assert module.controller.parameters.reference("Volume") is volume
