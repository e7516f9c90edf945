"""What can be undone: the Segment Editor's own states, and the scene's where it keeps any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
from panels import Open, OpenModule, bright, choose, nodes, segmentations

from napari_hybridseg.resources import shipped_checkpoints_folder


class Editor:
    """The Segment Editor's memory: Slicer's own ``vtkSegmentationHistory``."""

    def __init__(self, node: Any, volume: Any) -> None:
        self._node = node
        self._volume = volume
        self._key = node.GetSegmentation().GetSegmentIDs()[0]
        self.history = slicer.vtkSegmentationHistory()
        self.history.SetSegmentation(node.GetSegmentation())

    def paint(self, *voxel: int) -> None:
        """Paint a voxel of the first segment, as a stroke does."""
        self.history.SaveState()
        array = self.first()
        array[voxel] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, self._node, self._key, self._volume)

    def first(self) -> Any:
        """Give the voxels of the first segment."""
        found = slicer.util.arrayFromSegmentBinaryLabelmap(self._node, self._key, self._volume)
        return np.array(found)

    def voxels(self) -> Any:
        """Give what holds the segment's voxels in memory, and when it last changed."""
        segment = self._node.GetSegmentation().GetSegment(self._key)
        image = segment.GetRepresentation("Binary labelmap")
        return image, image.GetMTime()


@pytest.fixture
def correcting(open_module: Open, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a panel whose correction is open in the Segment Editor, the node and its volume."""

    class Widget:
        def setSegmentationNode(self, node: Any) -> None: ...
        def setSourceVolumeNode(self, node: Any) -> None: ...

    Widget.editor = Widget()  # type: ignore[attr-defined]
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: None)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: Widget)
    module = open_module()
    module.controller.choosing.checkpoint(
        shipped_checkpoints_folder() / "hippocampus-unet.safetensors"
    )
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.ui.correctButton.click()
    return module, module.controller.parameters.reference("Correction"), volume


def do_everything(module: OpenModule, folder: Path) -> None:
    """Score, explain, accept, count, and segment again, while the editor has its states."""
    import qt

    truth = (slicer.util.arrayFromVolume(nodes("vtkMRMLScalarVolumeNode")[0]) / 100).astype("u1")
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    assert "against truth" in module.ui.statusLine.text
    module.ui.scoreTable.cellClicked.emit(0, 0)
    module.ui.explainButton.click()
    module.wait_until_done()
    assert "Shown" in module.ui.statusLine.text
    qt.QFileDialog.answers = [str(folder)]
    module.ui.setButton.click()
    module.ui.acceptButton.click()
    module.wait_until_done()
    assert "Accepted as" in module.ui.statusLine.text
    module.widget.enter()
    module.segment()
    module.wait_until_done()
    assert "against truth" in module.ui.statusLine.text


def test_nothing_that_the_panel_does_costs_a_step_of_the_editors_undo(
    correcting: Any, tmp_path: Path
) -> None:
    module, node, volume = correcting
    editor = Editor(node, volume)
    stages = [editor.first()]
    for voxel in ((0, 0, 0), (0, 0, 1), (0, 0, 2)):
        editor.paint(*voxel)
        stages.append(editor.first())
    assert editor.history.RestorePreviousState()  # one step back: there is something to redo
    before = editor.voxels()
    do_everything(module, tmp_path / "set")
    assert editor.voxels() == before  # neither replaced nor written
    assert editor.history.IsRestoreNextStateAvailable()
    np.testing.assert_array_equal(editor.first(), stages[2])
    editor.history.RestoreNextState()
    np.testing.assert_array_equal(editor.first(), stages[3])
    for stage in (2, 1, 0):
        editor.history.RestorePreviousState()
        np.testing.assert_array_equal(editor.first(), stages[stage])
    module.widget.enter()
    assert module.ui.editsLine.text.endswith("nothing is edited yet")


def test_going_on_with_a_correction_keeps_its_segments(correcting: Any) -> None:
    module, node, volume = correcting
    editor = Editor(node, volume)
    editor.paint(0, 0, 0)
    before = editor.voxels()
    module.ui.correctButton.click()
    assert module.controller.parameters.reference("Correction") is node
    assert editor.voxels() == before
    assert editor.history.IsRestorePreviousStateAvailable()


def test_a_result_in_the_editor_is_left_alone_though_its_strokes_were_undone(
    open_module: Open,
) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    result = module.result()
    parameters = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    parameters.SetAndObserveSegmentationNode(result)
    editor = Editor(result, volume)
    editor.paint(0, 0, 0)
    editor.history.RestorePreviousState()
    module.segment()
    module.wait_until_done()
    assert module.result() is not result
    assert editor.history.IsRestoreNextStateAvailable()
    editor.history.RestoreNextState()
    assert editor.first()[0, 0, 0] == 1
    parameters.SetAndObserveSegmentationNode(None)
    third = module.result()
    module.segment()
    module.wait_until_done()
    assert module.result() is third  # nobody has that one open


def test_labels_of_an_explanation_that_were_painted_in_stay(open_module: Open) -> None:
    module = open_module()
    module.controller.choosing.checkpoint(
        shipped_checkpoints_folder() / "hippocampus-utnetv2-3d.safetensors"
    )
    volume = bright()
    choose(module.ui.viewBox, "winning-token")
    for is_painted in (True, False):
        module.ui.explainButton.click()
        module.wait_until_done()
        if is_painted:
            (labels,) = segmentations()
            Editor(labels, volume).paint(0, 0, 0)
    assert labels in segmentations()
    assert len(segmentations()) == 2
    module.ui.explainButton.click()
    module.wait_until_done()
    assert labels in segmentations()
    assert len(segmentations()) == 2


@pytest.fixture
def undo_is_on(scene: Any) -> Iterator[Any]:
    """Let the scene keep states, of segmentations and volumes: as Slicer does not by itself."""
    made = []
    for kind in ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"):
        default = scene.CreateNodeByClass(kind)
        default.UnRegister(None)
        default.SetUndoEnabled(True)
        scene.AddDefaultNode(default)
        made.append(default)
    scene.SetUndoOn()
    yield scene
    scene.SetUndoOff()
    scene.ClearUndoStack()
    scene.ClearRedoStack()
    for default in made:
        default.SetUndoEnabled(False)


def test_a_run_is_one_step_of_the_scenes_undo(undo_is_on: Any, open_module: Open) -> None:
    module = open_module()
    bright()
    module.segment()
    module.wait_until_done()
    assert undo_is_on.GetNumberOfUndoLevels() == 1
    undo_is_on.Undo()
    assert not segmentations()
    assert module.ui.reviewHint.text.startswith("There is no label map yet")
    assert module.ui.segmentButton.enabled
    undo_is_on.Redo()
    (node,) = segmentations()
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    module.segment()
    module.wait_until_done()
    assert module.result() is node


def test_an_explanation_is_one_step_of_the_scenes_undo(undo_is_on: Any, open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.controller.choosing.checkpoint(
        shipped_checkpoints_folder() / "hippocampus-unet.safetensors"
    )
    before = slicer.util.arrayFromVolume(volume).copy()
    choose(module.ui.viewBox, "entropy")
    module.ui.explainButton.click()
    module.wait_until_done()
    assert len(nodes("vtkMRMLScalarVolumeNode")) == 2
    undo_is_on.Undo()
    (left,) = nodes("vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(left), before)
    assert module.ui.volumeSelector.currentNode().GetName() == "scan"
