"""The Correct section: to the Segment Editor, and from there into a correction set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
from HybridSegLib.bench.correcting import EDITED_BEFORE
from HybridSegLib.bench.label_maps import label_map_of
from panels import Open, bright, nodes

from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.resources import shipped_checkpoints_folder


class EditorDouble:
    """Slicer's Segment Editor, as far as it is asked: strict about what it is asked for."""

    def __init__(self) -> None:
        self.segmentation: Any = None
        self.volume: Any = None
        self.opened: list[str] = []
        self.editor = self

    def setSegmentationNode(self, node: Any) -> None:
        assert node.IsA("vtkMRMLSegmentationNode")
        self.segmentation, self.volume = node, None

    def setSourceVolumeNode(self, node: Any) -> None:
        assert self.segmentation is not None, "the volume is dropped when a segmentation is set"
        self.volume = node


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch) -> EditorDouble:
    made = EditorDouble()
    monkeypatch.setattr(slicer.util, "selectModule", made.opened.append)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: made)
    return made


def paint(node: Any, volume: Any, segment: int, array: Any) -> None:
    """Paint as the Segment Editor does."""
    key = node.GetSegmentation().GetSegmentIDs()[segment]
    slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), node, key, volume)


def segmented(open_module: Open) -> tuple[Any, Any]:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    return module, volume


def begin(module: Any) -> Any:
    module.ui.correctButton.click()
    return module.controller.parameters.reference("Correction")


def choose_set(module: Any, folder: Path) -> None:
    import qt

    qt.QFileDialog.answers = [str(folder)]
    module.ui.setButton.click()


def test_the_segment_editor_opens_on_a_copy(open_module: Open, editor: EditorDouble) -> None:
    module, volume = segmented(open_module)
    result = module.result()
    node = begin(module)
    assert editor.opened == ["SegmentEditor"]
    assert (editor.segmentation, editor.volume) == (node, volume)
    assert node is not result
    assert node is module.result()  # what is reviewed is what is painted
    assert result.GetHideFromEditors()
    assert not result.GetDisplayVisibility()
    assert node.GetNodeReference("HybridSegNetwork") is result
    for one in (node, result):
        names = [one.GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
        assert names == ["left part", "right part"]
    assert module.ui.editsLine.text == "scan · correction · nothing is edited yet"


def test_edits_are_counted_when_the_user_comes_back(
    open_module: Open, editor: EditorDouble
) -> None:
    module, volume = segmented(open_module)
    node = begin(module)
    painted = slicer.util.arrayFromVolume(volume) == 100
    painted[1, 3:5, 2:4] = True
    painted[2, 3, 2] = False
    paint(node, volume, 0, painted)
    module.widget.enter()
    assert module.ui.editsLine.text.endswith("edited: left part 5 voxels (+4 −1)")


def test_a_later_run_leaves_the_network_result_alone(
    open_module: Open, editor: EditorDouble
) -> None:
    module, _ = segmented(open_module)
    hidden = module.result()
    node = begin(module)
    module.segment()
    module.wait_until_done()
    assert module.result() not in (hidden, node)
    assert node.GetNodeReference("HybridSegNetwork") is hidden


def test_what_was_edited_before_is_said(open_module: Open, editor: EditorDouble) -> None:
    module, volume = segmented(open_module)
    paint(module.result(), volume, 0, slicer.util.arrayFromVolume(volume) == 200)
    begin(module)
    assert module.ui.statusLine.text == EDITED_BEFORE


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_case_is_accepted_as_napari_would(
    open_module: Open, editor: EditorDouble, tmp_path: Path, is_moved: bool
) -> None:
    module = open_module()
    volume = bright(name="Mustermann")
    if is_moved:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = phantoms.turned((0.0, 0.0, 0.5), (1.0, 1.0, 1.0))
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
    module.controller.choosing.checkpoint(
        shipped_checkpoints_folder() / "hippocampus-unet.safetensors"
    )
    module.segment()
    module.wait_until_done()
    node = begin(module)
    painted = slicer.util.arrayFromVolume(volume) == 100
    painted[0, 0, 0] = True
    paint(node, volume, 0, painted)
    assert module.ui.correctHint.text == "Choose the set that the case goes into."
    choose_set(module, tmp_path / "set")
    assert module.ui.setLine.text == "set: 0 cases"
    module.ui.acceptButton.click()
    module.wait_until_done()
    assert module.ui.statusLine.text == "Accepted as case-0001 into set: 1 edited voxel."
    assert module.ui.setLine.text == "set: 1 case"
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    (edit,) = case.manifest.edits
    assert (edit.name, edit.added, edit.removed) == ("left part", 1, 0)
    assert case.card is not None
    assert case.card.architecture == "unet"
    assert len(case.checkpoint_sha256) == 64
    label = case.load_label()
    np.testing.assert_array_equal(label.array, label_map_of(node, volume).array)
    network = case.load_network_label()
    assert network is not None
    assert int((network.array != label.array).sum()) == 1
    image = case.load_image()
    assert np.array_equal(image.to_source(image.array)[0], slicer.util.arrayFromVolume(volume))
    everything = b"".join(p.read_bytes() for p in (tmp_path / "set").rglob("*") if p.is_file())
    assert b"Mustermann" not in everything


def test_accepting_again_is_a_revision(
    open_module: Open, editor: EditorDouble, tmp_path: Path
) -> None:
    module, volume = segmented(open_module)
    node = begin(module)
    choose_set(module, tmp_path / "set")
    module.ui.acceptButton.click()
    module.wait_until_done()
    paint(node, volume, 0, slicer.util.arrayFromVolume(volume) > 0)
    module.ui.acceptButton.click()
    module.wait_until_done()
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case.manifest.revision == 2


def test_a_new_segment_and_a_new_name_are_organs_of_the_case(
    open_module: Open, editor: EditorDouble, tmp_path: Path
) -> None:
    module, volume = segmented(open_module)
    node = begin(module)
    node.GetSegmentation().GetNthSegment(0).SetName("front part")
    node.GetSegmentation().AddEmptySegment("tumour", "tumour", (1.0, 0.0, 0.0))
    array = np.zeros(phantoms.SHAPE)
    array[0, 0, :3] = 1
    paint(node, volume, 2, array)
    choose_set(module, tmp_path / "set")
    module.ui.acceptButton.click()
    module.wait_until_done()
    assert "Accepted as" in module.ui.statusLine.text
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case.scheme.names == {1: "front part", 2: "right part", 3: "tumour"}
    assert [(e.name, e.added) for e in case.manifest.edits] == [("tumour", 3)]


def test_without_a_result_it_begins_empty_with_the_checkpoints_organs(
    open_module: Open, editor: EditorDouble, tmp_path: Path
) -> None:
    module = open_module()
    volume = bright()
    node = begin(module)
    names = [organ.name for organ in module.state.checkpoint.card.labels.organs]
    count = node.GetSegmentation().GetNumberOfSegments()
    assert [node.GetSegmentation().GetNthSegment(n).GetName() for n in range(count)] == names
    paint(node, volume, 0, slicer.util.arrayFromVolume(volume) == 100)
    choose_set(module, tmp_path / "set")
    module.ui.acceptButton.click()
    module.wait_until_done()
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case.network_label is None
    assert case.load_label().present


def test_a_label_map_volume_can_be_corrected(open_module: Open, editor: EditorDouble) -> None:
    module = open_module()
    volume = bright()
    given = phantoms.label_map_node("given")
    module.choose(module.ui.labelMapSelector, given)
    node = begin(module)
    assert node.IsA("vtkMRMLSegmentationNode")
    found = label_map_of(node, volume)
    np.testing.assert_array_equal(found.to_source(found.array), phantoms.labels())
    assert node.GetNodeReference("HybridSegNetwork").GetHideFromEditors()


def test_a_label_map_on_another_grid_is_refused(open_module: Open, editor: EditorDouble) -> None:
    module = open_module()
    bright()
    module.choose(
        module.ui.labelMapSelector, phantoms.label_map_node("given", matrix=phantoms.PLAIN)
    )
    begin(module)
    assert "does not lie on the grid of scan" in module.ui.statusLine.text
    assert not editor.opened


def test_a_folder_of_something_else_is_refused(
    open_module: Open, editor: EditorDouble, tmp_path: Path
) -> None:
    module, _ = segmented(open_module)
    begin(module)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    choose_set(module, tmp_path)
    assert "is no correction set" in module.ui.correctHint.text
    assert not module.ui.acceptButton.enabled


def test_a_correction_is_there_again_with_the_scene(
    open_module: Open, editor: EditorDouble, tmp_path: Path
) -> None:
    module, volume = segmented(open_module)
    node = begin(module)
    paint(node, volume, 0, slicer.util.arrayFromVolume(volume) > 0)
    module.widget.enter()
    line = module.ui.editsLine.text
    bundle = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    slicer.mrmlScene.Clear(0)
    assert module.state.correction is None
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)
    assert module.ui.editsLine.text == line
    assert module.ui.correctButton.text == "Go on correcting"
    assert len(nodes("vtkMRMLSegmentationNode")) == 2
