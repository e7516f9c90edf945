"""What users do that nobody planned: scenes that close, names that repeat, files that vanish."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import qt
import slicer
from panels import Open, OpenModule, bright, nodes, segmentations
from test_correct import EditorDouble, begin, choose_set, editor, paint
from test_explain import move, with_checkpoint
from test_frames import Beating
from test_panel import expected, values_of
from test_teach import corrections, own_checkpoints
from waiting import wait_until

from napari_hybridseg.resources import shipped_checkpoints_folder

__all__ = ["corrections", "editor", "own_checkpoints"]  # fixtures

PARENT = "hippocampus-unet"


def scored(open_module: Open, truth: Any = None) -> tuple[OpenModule, Any]:
    """Segment, and compare with a reference."""
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    array = expected(volume) if truth is None else truth
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", array))
    module.wait_until_done()
    return module, volume


def test_clicking_many_times_while_errors_are_looked_for_is_no_error(open_module: Open) -> None:
    module, _ = scored(open_module)
    for _ in range(4):
        module.ui.scoreTable.cellClicked.emit(0, 0)
    wait_until(lambda: "left part" in module.ui.statusLine.text)
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done"


def test_a_run_that_is_begun_while_errors_are_looked_for_follows(open_module: Open) -> None:
    module, _ = scored(open_module)
    for _ in range(3):
        module.ui.scoreTable.cellClicked.emit(0, 0)
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


def test_two_volumes_of_one_name_keep_their_own_results(open_module: Open) -> None:
    module = open_module()
    first, second = bright(), bright(phantoms.PLAIN)
    second.SetName(first.GetName())
    for volume in (first, second, first):
        module.choose(module.ui.volumeSelector, volume)
        module.segment()
        module.wait_until_done()
    assert len(segmentations()) == 2
    for node in segmentations():
        volume = node.GetNodeReference("HybridSegVolume")
        np.testing.assert_array_equal(values_of(node, volume), expected(volume))
    assert {node.GetNodeReferenceID("HybridSegVolume") for node in segmentations()} == {
        first.GetID(),
        second.GetID(),
    }


def test_segments_of_one_name_are_two_organs(open_module: Open) -> None:
    module, _ = scored(open_module)
    for index in range(2):
        module.result().GetSegmentation().GetNthSegment(index).SetName("tumour")
    module.ui.scoreButton.click()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


@pytest.mark.parametrize("side", ["labelMapSelector", "referenceSelector"])
def test_a_segmentation_without_segments_is_a_sentence(open_module: Open, side: str) -> None:
    module, volume = scored(open_module)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing in it")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    module.choose(getattr(module.ui, side), node)
    if not module.state.phase.is_busy:
        module.ui.scoreButton.click()
    module.wait_until_done()
    assert module.ui.statusLine.text.endswith(".")
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "not even a grid")
    module.choose(getattr(module.ui, side), bare)
    if not module.state.phase.is_busy:
        module.ui.scoreButton.click()
    module.wait_until_done()
    assert "has no voxels that could be read" in module.ui.statusLine.text or (
        side == "labelMapSelector" and module.state.phase.value == "done"
    ), module.ui.statusLine.text


def test_a_segmentation_without_segments_can_be_corrected(
    open_module: Open, editor: EditorDouble
) -> None:
    module = open_module()
    volume = bright()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing in it")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    module.choose(module.ui.labelMapSelector, node)
    begin(module)
    assert module.ui.statusLine.text.endswith(".")
    assert module.state.correction is not None, module.ui.statusLine.text


def test_very_long_names_are_kept(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    volume = bright(name="Übersicht " + "lang " * 80)
    module.segment()
    module.wait_until_done()
    assert volume.GetName() in module.ui.statusLine.text
    bundle = tmp_path / "scene.mrb"
    phantoms.save_and_load(bundle)
    assert module.result() is not None


def test_a_checkpoint_that_vanishes_is_a_sentence(open_module: Open, tmp_path: Path) -> None:
    module = open_module()
    bright()
    path = tmp_path / "mine.safetensors"
    shutil.copy(shipped_checkpoints_folder() / f"{PARENT}.safetensors", path)
    module.controller.choosing.checkpoint(path)
    bundle = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    path.unlink()
    slicer.mrmlScene.Clear(0)
    module.controller.choosing.checkpoint(
        shipped_checkpoints_folder() / "hippocampus-utnetv2-3d.safetensors"
    )
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)
    assert "mine.safetensors" in module.ui.checkpointLine.text
    assert not module.ui.segmentButton.enabled
    assert "choose another" in module.ui.segmentHint.text
    for button in ("explainButton", "correctButton", "teachButton"):
        assert not getattr(module.ui, button).enabled


def test_an_engine_that_dies_at_the_second_frame_leaves_nothing_and_the_next_run_works(
    open_module: Open,
) -> None:
    module, sequence = open_module("dies-later"), Beating()
    module.choose(module.ui.volumeSelector, sequence.volume)
    module.controller.look()
    before = slicer.mrmlScene.GetNumberOfNodes()
    module.ui.allFramesBox.click()
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "failed"
    assert "engine" in module.ui.statusLine.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    module.ui.allFramesBox.click()
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


def test_paths_with_spaces_and_letters_from_elsewhere(
    open_module: Open,
    editor: EditorDouble,
    own_checkpoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = tmp_path / "Übung mit Leerzeichen 肝臓 é"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    module = open_module()
    path = odd / "mein Netz ß.safetensors"
    shutil.copy(shipped_checkpoints_folder() / f"{PARENT}.safetensors", path)
    module.controller.choosing.checkpoint(path)
    volume = bright(name="Kopf – 肝臓")
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text
    node = begin(module)
    paint(node, volume, 0, np.eye(20, 16)[None].repeat(12, 0))
    choose_set(module, odd / "Korrekturen von heute")
    module.ui.acceptButton.click()
    module.wait_until_done()
    assert "Accepted as" in module.ui.statusLine.text
    module.ui.teachButton.click()
    module.wait_until_done()
    assert module.state.tuned is not None
    bundle = odd / "Szene ü.mrb"
    phantoms.save_and_load(bundle)
    assert module.ui.volumeSelector.currentNode().GetName() == "Kopf – 肝臓"
    assert module.state.checkpoint.path == path


OLD = {
    "Options": '{"window": "old"}',
    "ExplainOptions": '{"view": "a view of before", "place": 3}',
    "TeachOptions": "not even JSON {",
    "AllFrames": "1",
    "Checkpoint": "relative/path.safetensors",
}


def test_choices_of_an_older_version_fall_back_to_the_defaults(open_module: Open) -> None:
    module = open_module()
    bright()
    node = module.controller.parameters.node
    for name, text in OLD.items():
        node.SetParameter(name, text)
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "scores of before")
    table.SetAttribute("HybridSeg.Score", '{"organs": []}')
    node.SetNodeReferenceID("Scores", table.GetID())
    module.controller.take_scene()
    assert module.state.options == module.controller.bench.options("")
    assert module.state.score is None
    assert module.state.teach_options.minutes == 10.0
    assert not module.ui.segmentButton.enabled
    with_checkpoint(module, PARENT)
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


@pytest.mark.parametrize("tag", ["0", "70000", "٣", "-1", "7.0"])
def test_label_tags_that_are_no_labels_are_numbered_anew(open_module: Open, tag: str) -> None:
    module, _ = scored(open_module)
    module.result().GetSegmentation().GetNthSegment(0).SetTag("HybridSeg.Label", tag)
    module.ui.scoreButton.click()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


def test_two_panels_show_one_scene(open_module: Open, tmp_path: Path) -> None:
    one = open_module()
    other = open_module()
    volume = bright()
    one.choose(one.ui.volumeSelector, volume)
    assert other.state.volume_facts is not None
    one.segment()
    one.wait_until_done()
    assert other.ui.labelMapSelector.currentNode() is one.result()
    bundle = tmp_path / "scene.mrb"
    phantoms.save_and_load(bundle)
    for module in (one, other):
        assert module.ui.volumeSelector.currentNode().GetName() == "scan"
        assert module.ui.labelMapSelector.currentNode() is module.result() is not None
    other.segment()
    other.wait_until_done()
    assert len(segmentations()) == 1


JOBS = ("segment", "frames", "explain", "accept", "teach", "compare")


@pytest.mark.parametrize("kind", JOBS)
def test_the_scene_may_close_during_every_kind_of_job(
    open_module: Open, editor: EditorDouble, corrections: Path, own_checkpoints: Path, kind: str
) -> None:
    module = open_module("hangs-at-all")
    volume = Beating().volume if kind == "frames" else bright()
    with_checkpoint(module, PARENT)
    module.choose(module.ui.volumeSelector, volume)
    choose_set(module, corrections)
    if kind == "frames":
        module.ui.allFramesBox.click()
    if kind == "accept":
        begin(module)
    if kind == "compare":
        from fake_worker import report

        tuned = report(module.state.checkpoint.path, own_checkpoints / "child.safetensors")
        module.state.update(tuned=tuned)
        module.ui.compareButton.click()
    else:
        button = {"frames": "segment"}.get(kind, kind)
        assert getattr(module.ui, f"{button}Button").enabled
        getattr(module.ui, f"{button}Button").click()
    wait_until(lambda: "At it" in module.ui.statusLine.text)
    slicer.mrmlScene.Clear(0)
    assert not module.state.phase.is_busy
    assert module.ui.statusLine.text == "Cancelled: the scene was closed."
    left = slicer.mrmlScene.GetNumberOfNodes()
    volume = bright(name="next")
    module.choose(module.ui.volumeSelector, volume)
    assert module.ui.segmentButton.enabled, module.ui.segmentHint.text
    module.ui.segmentButton.click()
    wait_until(lambda: "At it" in module.ui.statusLine.text)
    module.ui.segmentButton.click()
    module.wait_until_done()
    assert module.ui.statusLine.text == "Cancelled; nothing was changed."
    assert not segmentations()
    assert left < slicer.mrmlScene.GetNumberOfNodes()


def test_the_scene_may_close_during_a_comparison(open_module: Open) -> None:
    module = open_module("hangs-at-all")
    volume = bright()
    labels = expected(volume)
    module.choose(module.ui.labelMapSelector, phantoms.label_map_node("one", labels))
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("two", labels))
    wait_until(lambda: "At it" in module.ui.statusLine.text)
    slicer.mrmlScene.Clear(0)
    assert not module.state.phase.is_busy
    bright()
    assert module.ui.segmentButton.enabled


def test_the_scene_may_close_while_errors_are_looked_for(open_module: Open) -> None:
    module, _ = scored(open_module)
    module.ui.scoreTable.cellClicked.emit(0, 0)
    slicer.mrmlScene.Clear(0)
    bright()
    module.segment()
    module.wait_until_done()
    assert module.state.phase.value == "done", module.ui.statusLine.text


def test_a_bending_transform_is_said_in_one_sentence(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.choose(module.ui.volumeSelector, volume)
    move(volume, "bent")
    assert module.ui.volumeNotes.text == (
        "A transform bends or stretches this volume; the network sees it without."
    )
    module.segment()
    module.wait_until_done()
    assert module.result().GetParentTransformNode() is volume.GetParentTransformNode()


def test_undo_after_a_scene_was_loaded_is_harmless(open_module: Open, tmp_path: Path) -> None:
    scene = slicer.mrmlScene
    scene.SetUndoOn()
    try:
        module = open_module()
        bright()
        module.segment()
        module.wait_until_done()
        bundle = tmp_path / "scene.mrb"
        assert scene.WriteToMRB(str(bundle), None)
        scene.Clear(0)
        assert scene.ReadFromMRB(str(bundle), False)
        while scene.GetNumberOfUndoLevels():
            scene.Undo()
        while scene.GetNumberOfRedoLevels():
            scene.Redo()
        assert module.ui.volumeSelector.currentNode().GetName() == "scan"
        module.segment()
        module.wait_until_done()
        assert module.state.phase.value == "done", module.ui.statusLine.text
        scene.Undo()
        module.controller.look()
        module.segment()
        module.wait_until_done()
        assert module.state.phase.value == "done", module.ui.statusLine.text
    finally:
        scene.SetUndoOff()
        scene.ClearUndoStack()
        scene.ClearRedoStack()


def test_what_is_gone_in_all_roles_leaves_a_panel_that_works(open_module: Open) -> None:
    module, volume = scored(open_module)
    for kind in ("vtkMRMLLabelMapVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode"):
        for node in nodes(kind):
            slicer.mrmlScene.RemoveNode(node)
    module.ui.tableViewButton.click()
    module.ui.scoreTable.cellClicked.emit(0, 0)
    slicer.app.processEvents()
    assert not module.ui.scoreButton.enabled
    slicer.mrmlScene.RemoveNode(volume)
    assert not module.ui.segmentButton.enabled
    assert module.ui.segmentHint.text
    qt.QApplication.processEvents()
