"""The Explain section: what a network saw, as nodes on the volume's grid."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import fake_explain
import numpy as np
import phantoms
import pytest
import slicer
from HybridSegLib.bench.points import engine_point, voxel_at
from HybridSegLib.slices import world_of_voxel
from panels import Open, bright, choose, nodes
from waiting import wait_until

from napari_hybridseg.resources import shipped_checkpoints_folder

VOXEL = (4, 12, 9)


def with_checkpoint(module: Any, name: str) -> Any:
    path = shipped_checkpoints_folder() / f"{name}.safetensors"
    module.controller.choosing.checkpoint(path)
    return module


def show(module: Any, view: str) -> None:
    choose(module.ui.viewBox, view)
    module.ui.explainButton.click()
    module.wait_until_done()


def click(module: Any, world: Any) -> None:
    """Click into a view, as Slicer's place mode does it."""
    module.ui.pickButton.click()
    node = module.controller.parameters.reference("ExplainedVoxel")
    node.AddControlPoint(*world)
    wait_until(lambda: not module.state.is_picking)
    module.wait_until_done()


def move(volume: Any, how: str) -> None:
    """Put a volume under a transform: one that turns, or one that bends."""
    if how == "nothing":
        return
    if how == "turned":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = phantoms.turned((0.1, 0.2, -0.3), (1.0, 1.0, 1.0))
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    else:
        import vtk

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        spline = vtk.vtkThinPlateSplineTransform()
        source, target = vtk.vtkPoints(), vtk.vtkPoints()
        for corner in np.ndindex(2, 2, 2):
            at = 60.0 * np.asarray(corner) - 30
            source.InsertNextPoint(at)
            target.InsertNextPoint(at + (3.0 if sum(corner) == 3 else 0.0))
        spline.SetSourceLandmarks(source)
        spline.SetTargetLandmarks(target)
        spline.SetBasisToR()
        node.SetAndObserveTransformFromParent(spline)
    volume.SetAndObserveTransformNodeID(node.GetID())


@pytest.mark.parametrize("how", ["nothing", "turned", "bent"])
def test_a_place_in_the_world_leads_to_its_voxel_and_back(scene: Any, how: str) -> None:
    volume = bright()
    move(volume, how)
    assert voxel_at(volume, world_of_voxel(volume, VOXEL)) == VOXEL
    assert voxel_at(volume, world_of_voxel(volume, (-1, 3, 3))) is None


def test_the_views_are_those_of_the_checkpoint(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-utnetv2-3d")
    assert module.ui.viewBox.findData("token-map") >= 0
    choose(module.ui.viewBox, "token-map")
    assert not module.ui.placeBox.isHidden()
    assert not module.ui.tokenBox.isHidden()
    assert module.ui.levelBox.isHidden()
    with_checkpoint(module, "hippocampus-unet")
    assert module.ui.viewBox.findData("token-map") < 0
    assert module.state.explain_options.view == "entropy"


def test_choices_go_into_the_options_and_are_kept_with_the_scene(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-utnetv2-3d")
    choose(module.ui.viewBox, "token-map")
    choose(module.ui.directionBox, "token-to-map")
    choose(module.ui.headBox, "1")
    module.ui.tokenBox.setValue(3)
    module.ui.smoothBox.click()
    module.widget.panel.explain.form.fields["steps"].widget.setValue(64)
    kept = module.controller.bench.explaining.options(
        module.controller.parameters.explain_options, module.state.views, None
    )
    assert (kept.view, kept.direction, kept.head, kept.token) == (
        "token-map",
        "token-to-map",
        1,
        3,
    )
    assert kept.smooth
    assert kept.steps == 64


@pytest.mark.parametrize("how", ["nothing", "turned", "bent"])
def test_a_map_is_a_volume_on_the_grid_of_the_scan(open_module: Open, how: str) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    volume = bright()
    move(volume, how)
    show(module, "entropy")
    (map_,) = [n for n in nodes("vtkMRMLScalarVolumeNode") if n is not volume]
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(map_), slicer.util.arrayFromVolume(volume)
    )
    assert np.allclose(world_of_voxel(map_, VOXEL), world_of_voxel(volume, VOXEL))
    assert map_.GetName() == "scan · map of entropy [nats]"
    assert composite.GetForegroundVolumeID() == map_.GetID()
    assert composite.GetForegroundOpacity() == 0.55
    display = map_.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 200.0)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(map_)
    assert legend.GetTitleText() == "map of entropy [nats]"
    assert "voxels looked at" in module.ui.statusLine.text
    assert "A note about the picture." in module.ui.logView.plainText


def test_zero_is_the_middle_of_a_map_that_has_a_sign(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    volume = bright()
    show(module, "integrated-gradients")
    (map_,) = [n for n in nodes("vtkMRMLScalarVolumeNode") if n is not volume]
    display = map_.GetDisplayNode()
    assert display.GetWindowLevelMin() == -display.GetWindowLevelMax()
    assert display.GetColorNode().GetName() == "HybridSeg diverging"


def test_the_next_explanation_takes_the_place_of_the_last(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-utnetv2-3d")
    bright()
    show(module, "entropy")
    show(module, "winning-token")
    assert len(nodes("vtkMRMLScalarVolumeNode")) == 1
    (labels,) = nodes("vtkMRMLSegmentationNode")
    assert labels.GetSegmentation().GetNthSegment(0).GetName() == "token 1"


@pytest.mark.parametrize("how", ["nothing", "turned", "bent"])
def test_a_click_shows_where_a_voxel_samples(open_module: Open, how: str) -> None:
    module = with_checkpoint(open_module(), "hippocampus-cotr")
    volume = bright()
    move(volume, how)
    choose(module.ui.viewBox, "sampling-points")
    assert module.ui.explainHint.text.startswith("Click a voxel first")
    at = np.asarray(world_of_voxel(volume, VOXEL))
    click(module, at + 0.2)  # beside the voxel's middle
    assert module.state.explain_options.point == pytest.approx(engine_point(volume, VOXEL))
    assert module.ui.voxelLine.text.startswith("Voxel at ")
    points = next(n for n in nodes("vtkMRMLMarkupsFiducialNode") if "Sampling" in n.GetName())
    assert points.GetNumberOfControlPoints() == 4
    assert np.allclose(points.GetNthControlPointPositionWorld(0), at, atol=1e-3)
    assert points.GetNthControlPointDescription(3) == (
        "head 1, level 0, point 1: weight 0.4000, outside the window"
    )
    weights = slicer.util.arrayFromMarkupsControlPointData(points, "weight")
    assert np.allclose(weights, fake_explain.WEIGHTS)
    names = {n.GetName(): n for n in nodes("vtkMRMLModelNode")}
    rays = names["scan · Sampling points (from the voxel)"].GetPolyData()
    assert rays.GetNumberOfLines() == 4
    assert rays.GetPointData().GetArray("weight").GetRange() == pytest.approx((0.1, 0.4))
    box = names["scan · window"]
    assert box.GetPolyData().GetNumberOfLines() == 12
    assert box.GetTransformNodeID() == volume.GetTransformNodeID()


def test_the_window_reaches_to_the_outer_faces_of_the_volume(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-cotr")
    volume = bright()
    choose(module.ui.viewBox, "sampling-points")
    click(module, world_of_voxel(volume, VOXEL))
    box = next(n for n in nodes("vtkMRMLModelNode") if n.GetName().endswith("window"))
    low = world_of_voxel(volume, (-0.5, -0.5, -0.5))
    corners = slicer.util.arrayFromModelPoints(box)
    assert np.abs(corners - low).sum(axis=1).min() < 1e-4


def test_a_click_beside_the_volume_says_so(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-cotr")
    bright()
    module.ui.pickButton.click()
    node = module.controller.parameters.reference("ExplainedVoxel")
    node.AddControlPoint(900.0, 900.0, 900.0)
    wait_until(
        lambda: (
            "Click the voxel" in module.ui.statusLine.text and not node.GetNumberOfControlPoints()
        )
    )
    assert "beside the volume" in module.ui.logView.plainText
    assert module.state.is_picking


def test_another_volume_forgets_the_voxel(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-cotr")
    volume, other = bright(), bright(phantoms.PLAIN, "other")
    module.choose(module.ui.volumeSelector, volume)
    click(module, world_of_voxel(volume, VOXEL))
    module.choose(module.ui.volumeSelector, other)
    assert module.state.explain_options.point is None


def test_bars_are_a_table_and_a_chart(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-utnetv2-3d")
    volume = bright()
    choose(module.ui.viewBox, "voxel-tokens")
    click(module, world_of_voxel(volume, VOXEL))
    (table,), (chart,) = nodes("vtkMRMLTableNode"), nodes("vtkMRMLPlotChartNode")
    assert [table.GetCellText(row, 1) for row in range(3)] == ["0.5", "0.25", "0.25"]
    series = chart.GetNthPlotSeriesNode(0)
    assert series.GetPlotType() == series.PlotTypeBar
    assert (series.GetYColumnName(), series.GetLabelColumnName()) == ("share", "name")
    show(module, "entropy")
    assert not nodes("vtkMRMLPlotSeriesNode")


def test_a_matrix_has_all_columns_and_draws_the_first(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-utnetv2-3d")
    bright()
    show(module, "token-organs")
    (table,), (chart,) = nodes("vtkMRMLTableNode"), nodes("vtkMRMLPlotChartNode")
    assert table.GetNumberOfColumns() == 13
    assert table.GetColumnName(12) == "token 0 (2)"  # a name that was there already
    assert chart.GetNumberOfPlotSeriesNodes() == 8
    assert chart.GetTitle() == "Both (the first 8 of 12 columns)"


def test_uncertain_regions_are_visited_one_after_the_other(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    volume = bright()
    module.ui.doubtButton.click()
    module.wait_until_done()
    assert module.ui.regionTable.rowCount == 1
    assert module.ui.statusLine.text.startswith("Uncertain region 1 of 1")
    peak = np.unravel_index(np.argmax(slicer.util.arrayFromVolume(volume)), phantoms.SHAPE)
    height = view.GetSliceToRAS().GetElement(2, 3)
    bright_ones = np.argwhere(slicer.util.arrayFromVolume(volume) == 200)
    heights = [world_of_voxel(volume, v)[2] for v in bright_ones]
    assert min(abs(height - h) for h in heights) < 0.01, peak
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 0.0, 0.0, 500.0)
    module.ui.regionTable.cellClicked.emit(0, 0)
    assert view.GetSliceToRAS().GetElement(2, 3) == pytest.approx(height)
    (table,) = nodes("vtkMRMLTableNode")
    assert table.GetTable().GetNumberOfRows() == 1


def test_the_data_can_be_taken_along(open_module: Open, tmp_path: Path) -> None:
    import qt

    module = with_checkpoint(open_module(), "hippocampus-unet")
    bright()
    assert not module.ui.dataButton.enabled
    show(module, "entropy")
    qt.QFileDialog.answers = [str(tmp_path / "numbers")]
    module.ui.dataButton.click()
    assert not module.ui.dataButton.enabled
    wait_until(lambda: "The data are in" in module.ui.statusLine.text)
    assert module.ui.dataButton.enabled
    assert {path.suffix for path in (tmp_path / "numbers").iterdir()} >= {".npz", ".json"}


def test_the_window_answers_while_data_are_saved(
    open_module: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    bright()
    show(module, "entropy")
    bench = module.controller.bench.explaining
    write = bench.save_data

    def slowly(*given: Any) -> None:
        time.sleep(0.5)
        write(*given)

    monkeypatch.setattr(bench, "save_data", slowly)
    began = time.monotonic()
    module.controller.explaining.save_data(tmp_path / "numbers")
    assert time.monotonic() - began < 0.2
    longest = wait_until(lambda: "The data are in" in module.ui.statusLine.text)
    assert longest < 0.3
    module.controller.explaining.save_data(tmp_path / "numbers")  # which is not empty any more
    wait_until(lambda: not module.state.is_saving)
    assert "numbers" in module.ui.statusLine.text
    assert "The data are in" not in module.ui.statusLine.text


def test_what_is_being_saved_is_whole_when_the_panel_closes(
    open_module: Open, tmp_path: Path
) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    bright()
    show(module, "entropy")
    module.controller.explaining.save_data(tmp_path / "numbers")
    module.controller.close()
    assert np.load(tmp_path / "numbers" / "entropy.npz")


def test_closing_the_scene_forgets_what_was_shown(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    bright()
    module.ui.doubtButton.click()
    module.wait_until_done()
    slicer.mrmlScene.Clear(0)
    assert module.state.explanation is None
    assert not module.ui.nextDoubtButton.enabled
    assert module.ui.regionTable.isHidden()


def test_a_volume_that_is_removed_meanwhile_is_a_sentence(open_module: Open) -> None:
    module = with_checkpoint(open_module(), "hippocampus-unet")
    volume = bright()
    choose(module.ui.viewBox, "entropy")
    module.ui.explainButton.click()
    slicer.mrmlScene.RemoveNode(volume)
    module.wait_until_done()
    assert "was changed while it was explained" in module.ui.statusLine.text
