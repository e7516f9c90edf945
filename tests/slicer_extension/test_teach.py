"""The Teach section: a fine-tune, its chart, its table, and what becomes of its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from panels import Open, bright, choose, nodes, segmentations
from waiting import wait_until

from napari_hybridseg.corrections.accepting import Correction, accept
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import LabelMap, Volume

PARENT = "hippocampus-unet"


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    grid = Geometry.from_affine((3, 4, 5), np.eye(4))
    image = np.arange(60, dtype=np.int16).reshape(1, 3, 4, 5)
    label = LabelMap(
        grid, grid, np.ones((3, 4, 5), np.uint8), LabelScheme.from_names({1: "left part"})
    )
    accept(tmp_path / "set", Correction(Volume(grid, grid, image), label))
    return tmp_path / "set"


@pytest.fixture
def own_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    monkeypatch.setattr("HybridSegLib.bench.teaching.user_checkpoints_folder", lambda: folder)
    return folder


@pytest.fixture
def teach(open_module: Open, corrections: Path, own_checkpoints: Path) -> Any:
    def open_(mood: str = "well") -> Any:
        import qt

        module = open_module(mood)
        module.controller.choosing.checkpoint(
            shipped_checkpoints_folder() / f"{PARENT}.safetensors"
        )
        qt.QFileDialog.answers = [str(corrections)]
        module.ui.teachSetButton.click()
        return module

    return open_


def finished(teach: Any) -> Any:
    module = teach()
    module.ui.teachButton.click()
    module.wait_until_done()
    return module


def test_it_says_what_is_missing(open_module: Open) -> None:
    module = open_module()
    assert module.ui.teachHint.text.startswith("Choose a correction set")
    assert not module.ui.teachButton.enabled


def test_the_chart_shows_what_was_measured(teach: Any) -> None:
    module = finished(teach)
    (chart,) = nodes("vtkMRMLPlotChartNode")
    drawn = {}
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        table = series.GetTableNode()
        drawn[series.GetYColumnName()] = [
            (float(table.GetCellText(row, 0)), float(table.GetCellText(row, 1)))
            for row in range(table.GetNumberOfRows())
        ]
    assert drawn == {"Dice": [(25, 0.25), (50, 0.5)], "loss": [(25, 1.0), (50, 0.5)]}
    assert module.ui.curveLine.text == "Step 50: Dice 0.500, loss 0.500"


def test_the_next_chart_takes_the_place_of_the_last(teach: Any) -> None:
    module = finished(teach)
    module.ui.teachButton.click()
    module.wait_until_done()
    assert len(nodes("vtkMRMLPlotChartNode")) == 1
    assert len(nodes("vtkMRMLPlotSeriesNode")) == 2


def test_before_and_after_say_what_they_were_measured_on(teach: Any) -> None:
    module = finished(teach)
    table = module.ui.changeTable
    assert table.item(0, 0).text().startswith("Measured on the training cases")
    assert [table.item(1, column).text() for column in range(5)] == [
        "left part",
        "0.700",
        "0.900",
        "3.00",
        "–",
    ]
    node = module.controller.parameters.reference("Changes")
    assert node.GetCellText(0, 0) == "Measured on the training cases (0 cases) · HD95: monai"
    assert node.GetCellText(1, 1) == "mean"
    assert module.ui.verdictLine.text.startswith("It got better")
    assert "case-0009 was left out." in module.ui.logView.plainText


def test_it_can_be_used_and_taken_back(teach: Any, own_checkpoints: Path) -> None:
    module = finished(teach)
    assert module.state.checkpoint.path.stem == PARENT
    assert not module.ui.backButton.enabled
    module.ui.useButton.click()
    assert module.state.checkpoint.path.parent == own_checkpoints
    assert "-tuned-" in module.ui.checkpointBox.currentText
    assert not module.ui.useButton.enabled
    module.ui.backButton.click()
    assert module.state.checkpoint.path.stem == PARENT
    assert module.ui.statusLine.text == f"{PARENT} is used again."


def test_parent_and_child_are_compared_on_the_volume(teach: Any) -> None:
    module = finished(teach)
    bright()
    module.controller.look()
    module.ui.compareButton.click()
    module.wait_until_done()
    assert "the first is drawn as outlines" in module.ui.statusLine.text
    parent, child = segmentations()  # though the fake child has its parent's name
    assert [node.GetDisplayNode().GetVisibility2DFill() for node in (parent, child)] == [0, 1]
    assert module.state.checkpoint.path.stem == PARENT


def test_it_pauses_goes_on_and_keeps_the_best(teach: Any) -> None:
    module = teach("patient")
    module.ui.teachButton.click()
    wait_until(lambda: "Step 50: Dice 0.500, loss" in module.ui.curveLine.text)
    assert module.ui.teachButton.text == "Cancel"
    module.ui.pauseButton.click()
    assert module.ui.pauseButton.text == "Go on"
    wait_until(lambda: "told to pause" in module.ui.logView.plainText)
    module.ui.pauseButton.click()
    assert module.ui.pauseButton.text == "Pause"
    wait_until(lambda: "told to go on" in module.ui.logView.plainText)
    module.ui.finishButton.click()
    assert module.ui.finishButton.isHidden()
    module.wait_until_done()
    assert "told to finish" in module.ui.logView.plainText
    assert module.state.tuned is not None


def test_a_fine_tune_can_be_cancelled(teach: Any) -> None:
    module = teach("patient")
    module.controller.bench.engine._grace_s = 0.2  # this engine hears no cancelling
    module.ui.teachButton.click()
    wait_until(lambda: bool(module.ui.curveLine.text))
    module.ui.teachButton.click()
    module.wait_until_done()
    assert module.ui.statusLine.text == "Cancelled; nothing was changed."
    assert module.state.tuned is None


def test_choices_are_kept_with_the_scene(teach: Any, tmp_path: Path) -> None:
    import qt

    module = teach()
    assert module.ui.minutesBox.value == 10
    choose(module.ui.strategyBox, "decoder")
    module.ui.minutesBox.setValue(0)
    qt.QFileDialog.answers = [str(tmp_path / "set")]
    module.ui.rehearseButton.click()
    qt.QFileDialog.answers = [str(tmp_path / "old cases")]
    module.ui.guardButton.click()
    kept = module.controller.bench.teaching.options(module.controller.parameters.teach_options)
    assert (kept.strategy, kept.minutes) == ("decoder", None)
    assert kept.rehearse == tmp_path / "set"
    assert kept.guard == tmp_path / "old cases"
    assert module.ui.rehearseLine.text == str(tmp_path / "set")
    module.ui.rehearseClearButton.click()
    module.ui.guardClearButton.click()
    assert (module.state.teach_options.rehearse, module.state.teach_options.guard) == (None, None)
    assert module.ui.rehearseLine.text == "none"
    assert module.ui.rehearseClearButton.isHidden()


def test_the_scene_may_be_closed_during_a_fine_tune(teach: Any) -> None:
    module = teach("patient")
    module.controller.bench.engine._grace_s = 0.2
    module.ui.teachButton.click()
    wait_until(lambda: bool(module.ui.curveLine.text))
    slicer.mrmlScene.Clear(0)
    module.wait_until_done()
    assert not nodes("vtkMRMLPlotChartNode")
