"""Explain, accept and fine-tune with the real engine, on a real patient, through the real panel."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
from HybridSegLib.slices import world_of_voxel
from panels import OpenModule, choose, nodes
from real_engine import WORKER, WarmEngine, hippocampus, load, matrix_of, ras_of_header
from waiting import wait_until

from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.resources import shipped_checkpoints_folder

LONGEST_S = 1500  # however loaded the machine is
LPS = np.array([-1.0, -1.0, 1.0])
LOOK_INTO_A_CASE = """
import json, sys
from pathlib import Path
from napari_hybridseg.widgets.readers import get_reader
found = []
for path in sorted(Path(sys.argv[1]).rglob("*.nrrd")):
    for data, facts, kind in get_reader(str(path))(str(path)):
        found.append([path.name, kind, list(data.shape), [float(v) for v in facts["scale"]]])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def engine(engine_python: str) -> Iterator[WarmEngine]:
    hippocampus()
    warm = WarmEngine((engine_python, *WORKER))
    yield warm
    warm.end()


@pytest.fixture
def open_with(
    scene: Any, monkeypatch: pytest.MonkeyPatch, engine: WarmEngine
) -> Iterator[Callable[[str], OpenModule]]:
    opened: list[OpenModule] = []

    def open_(checkpoint: str) -> OpenModule:
        module = OpenModule(monkeypatch, (), warm=engine)
        opened.append(module)
        path = shipped_checkpoints_folder() / f"{checkpoint}.safetensors"
        module.controller.choosing.checkpoint(path)
        return module

    yield open_
    for module in opened:
        module.close()


def finish(module: OpenModule, words: str) -> None:
    """Wait for a job's end, and see that it is the one that is wanted."""
    module.wait_until_done(LONGEST_S)
    assert words in module.ui.statusLine.text, module.ui.statusLine.text


def put_on_a_table(volume: Any) -> None:
    """Turn and move the patient, by a transform that is not hardened."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = phantoms.turned((0.2, -0.1, 0.3), (1.0, 1.0, 1.0))
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())


def save_data(module: OpenModule, folder: Path) -> Path:
    """Press 'Save data…'."""
    import qt

    qt.QFileDialog.answers = [str(folder)]
    module.ui.dataButton.click()
    wait_until(lambda: "The data are in" in module.ui.statusLine.text)
    return folder


def test_an_attention_map_lies_on_the_scan_with_its_legend(
    open_with: Callable[[str], OpenModule], tmp_path: Path
) -> None:
    image, _ = hippocampus()
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    module = open_with("hippocampus-utnetv2-3d")
    volume = load(image)
    before = slicer.util.arrayFromVolume(volume).copy()
    module.choose(module.ui.volumeSelector, volume)
    choose(module.ui.viewBox, "token-map")
    module.ui.tokenBox.setValue(2)
    module.ui.explainButton.click()
    finish(module, "Shown: ")
    (shown,) = [node for node in nodes("vtkMRMLScalarVolumeNode") if node is not volume]
    np.testing.assert_allclose(matrix_of(shown), ras_of_header(image), atol=1e-5)
    values = slicer.util.arrayFromVolume(shown)
    assert values.shape == before.shape
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert np.ptp(values) > 0.05 * values.max(), "a token that looks everywhere alike"
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(shown)
    assert legend.GetVisibility()
    assert legend.GetTitleText()
    assert shown.GetName().endswith(legend.GetTitleText())
    look = shown.GetDisplayNode()
    assert look.GetColorNode().GetName() == "HybridSeg sequential"
    assert (
        look.GetWindowLevelMin() <= values.min() < values.max() <= look.GetWindowLevelMax() * 1.01
    )
    assert composite.GetForegroundVolumeID() == shown.GetID()
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    # the file is written by another way than the node, and Slicer reads it with its own reader
    (file,) = save_data(module, tmp_path / "data").glob("*.nii.gz")
    again = load(file)
    np.testing.assert_allclose(matrix_of(again), matrix_of(shown), atol=1e-4)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(again), values, rtol=1e-6)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), before)


@pytest.mark.parametrize("is_moved", [False, True])
def test_sampling_points_lie_at_the_millimetres_that_the_engine_says(
    open_with: Callable[[str], OpenModule], tmp_path: Path, is_moved: bool
) -> None:
    image, _ = hippocampus()
    module = open_with("hippocampus-cotr")
    volume = load(image)
    to_ras = ras_of_header(image)
    if is_moved:
        put_on_a_table(volume)
        to_ras = phantoms.turned((0.2, -0.1, 0.3), (1.0, 1.0, 1.0)) @ to_ras
    module.choose(module.ui.volumeSelector, volume)
    choose(module.ui.viewBox, "sampling-points")
    i, j, k = (size // 2 for size in slicer.util.arrayFromVolume(volume).shape[::-1])
    clicked = (to_ras @ (i, j, k, 1.0))[:3]
    module.ui.pickButton.click()
    module.controller.parameters.reference("ExplainedVoxel").AddControlPoint(*clicked)
    wait_until(lambda: not module.state.is_picking, LONGEST_S)
    finish(module, "Shown: ")
    assert module.state.explain_options.point == pytest.approx(tuple(LPS * clicked), abs=2e-3)
    (points,) = [n for n in nodes("vtkMRMLMarkupsFiducialNode") if "ampling" in n.GetName()]
    (file,) = save_data(module, tmp_path / "data").glob("*.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert points.GetNumberOfControlPoints() == len(rows) > 20
    said = np.array([[float(row[f"{axis}_mm"]) for axis in "xyz"] for row in rows])
    drawn = np.array([points.GetNthControlPointPositionWorld(n) for n in range(len(rows))])
    np.testing.assert_allclose(drawn * LPS, said, atol=2e-3)
    weights = slicer.util.arrayFromMarkupsControlPointData(points, "weight")
    np.testing.assert_allclose(weights, [float(row["weight"]) for row in rows], atol=1e-6)
    heads = slicer.util.arrayFromMarkupsControlPointData(points, "head")
    for head in np.unique(heads):
        assert weights[heads == head].sum() == pytest.approx(1, abs=1e-4)
    # the query's token holds the voxel that was clicked
    (rays,) = [n for n in nodes("vtkMRMLModelNode") if "from the voxel" in n.GetName()]
    assert rays.GetPolyData().GetNumberOfLines() == len(rows)
    assert rays.GetTransformNodeID() == volume.GetTransformNodeID()
    nearest = np.linalg.norm(drawn - clicked, axis=1).min()
    assert nearest < 20, "the points are elsewhere in the patient"


def painted(node: Any, volume: Any) -> Any:
    """Paint as the Segment Editor does: two voxels more of the first organ, one less."""
    key = node.GetSegmentation().GetSegmentIDs()[0]
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, key, volume).copy()
    before = array.copy()
    array[0, 0, :2] = 1
    array[tuple(np.argwhere(before)[0])] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, key, volume)
    return before != array


def accepted(
    open_with: Callable[[str], OpenModule], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> tuple[OpenModule, Any, Any]:
    """Segment, correct and accept a case; give the panel, the volume and what was edited."""
    import qt

    class Editor:
        def setSegmentationNode(self, node: Any) -> None: ...
        def setSourceVolumeNode(self, node: Any) -> None: ...

    Editor.editor = Editor()  # type: ignore[attr-defined]
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: None)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: Editor)
    module = open_with("hippocampus-utnetv2-3d")
    volume = load(hippocampus()[0])
    module.choose(module.ui.volumeSelector, volume)
    module.segment()
    finish(module, "the result is the segmentation")
    module.ui.correctButton.click()
    node = module.controller.parameters.reference("Correction")
    edited = painted(node, volume)
    qt.QFileDialog.answers = [str(folder)]
    module.ui.setButton.click()
    module.ui.acceptButton.click()
    finish(module, "Accepted as case-0001 into set: 3 edited voxels.")
    return module, volume, edited


def test_an_accepted_case_is_sound_for_the_command_line_and_for_napari(
    open_with: Callable[[str], OpenModule],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    engine_python: str,
) -> None:
    _, volume, edited = accepted(open_with, monkeypatch, tmp_path / "set")
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case.edited is not None
    mask = load(case.edited, "vtkMRMLLabelMapVolumeNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(mask) > 0, edited)
    np.testing.assert_allclose(matrix_of(mask), ras_of_header(hippocampus()[0]), atol=1e-4)
    assert case.card is not None
    assert case.card.name == "hippocampus-utnetv2-3d"

    def ask(*words: str) -> str:
        done = subprocess.run(
            [engine_python, *words],
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = ask("-m", "napari_hybridseg", "corrections", "verify", str(tmp_path / "set"), "--json")
    verified = json.loads(said)
    assert (verified["ok"], verified["cases"], verified["problems"]) == (True, 1, [])
    layers = json.loads(ask("-c", LOOK_INTO_A_CASE, str(tmp_path / "set")).splitlines()[-1])
    kinds = {name: kind for name, kind, *_ in layers}
    assert kinds.pop("edited.nrrd")  # a mask has no names to tell it by
    assert kinds == {
        "image.nrrd": "image",
        "label.seg.nrrd": "labels",
        "network.seg.nrrd": "labels",
    }
    shape = sorted(slicer.util.arrayFromVolume(volume).shape)
    assert all(sorted(sizes[-3:]) == shape for _, _, sizes, _ in layers)
    assert all(scale[-3:] == pytest.approx([1, 1, 1], abs=1e-4) for *_, scale in layers)


@pytest.mark.slow
def test_a_short_fine_tune_gives_a_checkpoint_that_is_used(
    open_with: Callable[[str], OpenModule], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("HybridSegLib.bench.teaching.user_checkpoints_folder", lambda: tmp_path)
    module, volume, _ = accepted(open_with, monkeypatch, tmp_path / "set")
    module.controller.teaching.change(
        steps=10, check_every=5, batch_size=1, guard_cases=1, minutes=None
    )
    parent = module.state.checkpoint
    module.ui.teachButton.click()
    module.wait_until_done(LONGEST_S)
    report = module.state.tuned
    assert report is not None, module.ui.statusLine.text
    assert report.steps == 10
    assert report.parent == parent.path
    (chart,) = nodes("vtkMRMLPlotChartNode")
    drawn = {}
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        table = slicer.util.arrayFromTableColumn(series.GetTableNode(), series.GetXColumnName())
        drawn[series.GetYColumnName()] = list(table)
    assert all(steps == sorted(steps) and 0 < max(steps) <= 10 for steps in drawn.values()), drawn
    assert any("loss" in name for name in drawn)
    assert any("Dice" in name for name in drawn)
    changes = module.controller.parameters.reference("Changes")
    organs = [changes.GetCellText(row, 1) for row in range(changes.GetTable().GetNumberOfRows())]
    assert organs[:3] == ["anterior hippocampus", "posterior hippocampus", "mean"]
    before = float(changes.GetCellText(2, 2))
    assert before == pytest.approx(report.cases.dice_before, abs=1e-6)
    assert before > 0.9, "the parent made these labels, all but three voxels"
    assert module.ui.changeTable.item(1, 1).text() == f"{report.cases.organs[0].dice_before:.3f}"
    assert module.state.checkpoint is parent
    module.ui.useButton.click()
    assert module.state.checkpoint.path == report.path
    assert module.state.checkpoint.card.architecture == parent.card.architecture
    assert report.path.parent == tmp_path
    assert report.path.read_bytes() != parent.path.read_bytes()
    module.segment()
    finish(module, "the result is the segmentation")
    assert world_of_voxel(volume, (0, 0, 0))
    assert report.name in module.result().GetName()
