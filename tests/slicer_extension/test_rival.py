"""Two label maps against one reference, and the tour of their errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import qt
import slicer
from panels import Open, bright, segmentations
from test_panel import expected, ras_of, slice_offset
from test_teach import corrections, finished, own_checkpoints, teach
from waiting import wait_until

__all__ = ["corrections", "own_checkpoints", "teach"]  # fixtures


def compared(open_module: Open, name: str = "worse") -> Any:
    """Score a result, and beside it a label map that lacks half of an organ."""
    module = open_module()
    volume = bright()
    truth = expected(volume)
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    worse = truth.copy()
    worse[2:5][worse[2:5] == 1] = 0
    module.choose(module.ui.rivalSelector, phantoms.label_map_node(name, worse))
    module.wait_until_done()
    return module


def texts(module: Any) -> list[list[str]]:
    return list(module.widget.panel.review.table.texts())


def test_the_other_ones_scores_stand_beside(open_module: Open) -> None:
    module = compared(open_module)
    rows = texts(module)
    assert rows[0][-2:] == ["other Dice", "other HD95 (monai)"]
    left, right, mean = rows[1:]
    assert (left[1], right[1]) == ("1.000", "1.000")
    assert float(left[-2]) == pytest.approx(2 * 3 / (3 + 6), abs=1e-3)
    assert right[-2] == "1.000"
    assert float(mean[-2]) == pytest.approx((2 / 3 + 1) / 2, abs=1e-3)
    assert "'other' is worse." in module.ui.scoreNotes.text
    assert module.ui.statusLine.text.endswith("and worse against truth.")
    table = module.controller.parameters.reference("Scores")
    names = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    assert names[-2:] == ["other_dice", "other_hd95_mm"]
    assert "'other' is worse" in table.GetDescription()


def test_none_takes_it_away_and_itself_is_no_other(open_module: Open) -> None:
    module = compared(open_module)
    module.choose(module.ui.rivalSelector, None)
    assert len(texts(module)[0]) == 5
    assert "'other'" not in module.ui.scoreNotes.text
    module.choose(module.ui.rivalSelector, module.result())
    module.wait_until_done()
    assert len(texts(module)[0]) == 5


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_both_are_saved(open_module: Open, tmp_path: Path, suffix: str) -> None:
    module = compared(open_module)
    path = tmp_path / f"both{suffix}"
    qt.QFileDialog.answers = [str(path)]
    module.ui.saveScoresButton.click()
    text = path.read_text(encoding="utf-8")
    if suffix == ".csv":
        assert text.splitlines()[0].endswith("label_map")
        assert sum(line.endswith(",worse") for line in text.splitlines()) == 3
    else:
        assert [report["label_map"] for report in json.loads(text)][1] == "worse"


def test_it_comes_back_with_the_scene(open_module: Open, tmp_path: Path) -> None:
    module = compared(open_module)
    before = texts(module)
    bundle = tmp_path / "scene.mrb"
    phantoms.save_and_load(bundle)
    assert texts(module) == before
    assert module.ui.rivalSelector.currentNode().GetName() == "worse"


def test_organs_of_the_other_one_are_matched_by_name(open_module: Open) -> None:
    module = compared(open_module)
    volume = module.ui.volumeSelector.currentNode()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "in another order")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, label in (("right part", 2), ("left part", 1)):
        key = node.GetSegmentation().AddEmptySegment(name, name)
        part = (expected(volume) == label).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(part, node, key, volume)
    module.choose(module.ui.rivalSelector, node)
    module.wait_until_done()
    assert [row[-2] for row in texts(module)[1:]] == ["1.000", "1.000", "1.000"]


def test_a_name_with_braces_is_a_name(open_module: Open) -> None:
    module = compared(open_module, name="{worse} {0}")
    table = module.ui.scoreTable
    assert "'{worse} {0}'" in table.item(0, 5).toolTip()


def test_parent_and_child_are_two_segmentations_and_two_columns(teach: Any) -> None:
    module = finished(teach)
    volume = bright()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.ui.compareButton.click()
    module.wait_until_done()
    parent, child = segmentations()
    assert module.ui.rivalSelector.currentNode() is parent
    assert module.result() is child
    rows = texts(module)
    assert rows[0][-2:] == ["other Dice", "other HD95 (monai)"]
    assert rows[-1][1] == rows[-1][-2] == "1.000"
    assert f"'other' is {parent.GetName()}." in module.ui.scoreNotes.text


def test_the_largest_errors_come_one_after_the_other(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    truth = expected(volume)
    truth[2:4][truth[2:4] == 1] = 0  # two planes of one organ are wrong
    truth[10:11][truth[10:11] == 2] = 0  # one plane of the other one
    module.segment()
    module.wait_until_done()
    assert not module.ui.nextWorstButton.enabled
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", truth))
    module.wait_until_done()
    said = []
    for _ in range(3):
        module.ui.nextWorstButton.click()
        wait_until(lambda: "the largest error" in module.ui.statusLine.text)
        said.append(module.ui.statusLine.text)
    assert said[0] == said[2] == "left part: the largest error, 5.0 mm."
    assert said[1] == "right part: the largest error, 2.5 mm."
    at = ras_of(volume)
    worst = [at((2.0, j, i))[2] for j in range(3, 9) for i in range(2, 7)]
    assert min(abs(slice_offset(view) - z) for z in worst) < 0.01


def test_without_errors_there_is_no_next_one(open_module: Open) -> None:
    module = open_module()
    volume = bright()
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.referenceSelector, phantoms.label_map_node("truth", expected(volume)))
    module.wait_until_done()
    module.ui.nextWorstButton.click()
    wait_until(lambda: module.ui.statusLine.text == "There is no error to go to.")
