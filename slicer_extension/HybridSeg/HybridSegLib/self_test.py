"""Checks of the module on the scene that it runs in.

The project's tests call them on slicer-core's scene; ``HybridSegTest`` calls them inside Slicer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import slicer

from HybridSegLib.install import MODULE
from HybridSegLib.parameters import VOLUME, Parameters
from HybridSegLib.slices import world_of_voxel

_SHAPE = (10, 14, 12)


def oblique_matrix() -> Any:
    """Give an IJK to RAS matrix of a turned grid with thick slices."""
    a, b = 0.3, -0.2
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag((0.7, 0.8, 2.0))
    matrix[:3, 3] = (11.0, -7.0, 3.0)
    return matrix


def example_labels() -> Any:
    """Give a label array (K, J, I) with two organs."""
    labels = np.zeros(_SHAPE, np.uint8)
    labels[1:5, 2:8, 2:6] = 1
    labels[5:9, 6:12, 5:10] = 2
    return labels


def check_parameters() -> None:
    """Check that choices in the parameter node can be read from it again."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    volume = slicer.util.addVolumeFromArray(example_labels(), name="scan")
    written = Parameters(node)
    written.set_reference(VOLUME, volume)
    written.checkpoint = "/somewhere/net.safetensors"
    written.all_frames = True
    read = Parameters(node)
    _expect(read.reference(VOLUME) is volume, "the volume is kept")
    _expect(read.checkpoint == "/somewhere/net.safetensors", "the checkpoint is kept")
    _expect(read.all_frames, "the choice of frames is kept")


def check_places() -> None:
    """Check that a voxel lies where its matrix and its transform put it."""
    matrix = oblique_matrix()
    volume = slicer.util.addVolumeFromArray(example_labels(), ijkToRAS=matrix)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:3, 3] = (5.0, 6.0, 7.0)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    expected = (moved @ matrix @ np.array([3.0, 2.0, 1.0, 1.0]))[:3]
    _expect(np.allclose(world_of_voxel(volume, (1, 2, 3)), expected), "a voxel is where it is")


def check_segmentation() -> None:
    """Check that a label map becomes named, coloured, coded segments, voxel for voxel."""
    from HybridSegLib.bench.label_maps import label_map_of
    from HybridSegLib.bench.segmentations import show_label_map
    from HybridSegLib.bench.terminology import code_of
    from HybridSegLib.bench.volumes import volume_of
    from napari_hybridseg.labels import LabelScheme, Organ
    from napari_hybridseg.volume import LabelMap

    liver = Organ(id=1, name="liver", colour="#dd8822", snomed="10200004")
    other = Organ(id=2, name="other", colour="#884499")
    labels = example_labels()
    scan = slicer.util.addVolumeFromArray(labels, ijkToRAS=oblique_matrix(), name="scan")
    volume = volume_of(scan)
    answer = LabelMap(
        geometry=volume.geometry,
        source=volume.source,
        array=np.ascontiguousarray(volume.array[0]),
        scheme=LabelScheme(organs=(liver, other)),
    )
    node = show_label_map(slicer.mrmlScene, answer, scan, "net")
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetSegment(key) for key in segmentation.GetSegmentIDs()]
    _expect([s.GetName() for s in segments] == ["liver", "other"], "segments are named")
    _expect(code_of(segments[0]) == "10200004", "a segment has its code")
    _expect(np.allclose(segments[0].GetColor(), np.array([0xDD, 0x88, 0x22]) / 255), "and colour")
    back = label_map_of(node, scan)
    _expect(np.array_equal(back.to_source(back.array), labels), "voxels come back identical")


def check_scores() -> None:
    """Check that a comparison in a table node can be read from it again."""
    from HybridSegLib.bench.scores import Score, read_scores, write_scores
    from napari_hybridseg.labels import LabelScheme
    from napari_hybridseg.metrics.scores import OrganScore, ScoreReport

    liver = OrganScore(
        label=1, name="liver", status="scored", dice=0.9, volume_ml=2.0, reference_volume_ml=1.5
    )
    report = ScoreReport(organs=(liver,), convention="monai", tolerance_mm=1.0)
    score = Score(report=report, label_map="ours", reference="truth", scheme=LabelScheme())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    write_scores(node, score)
    _expect(node.GetTable().GetNumberOfRows() == 2, "an organ a row, and the mean")
    _expect(node.GetCellText(0, node.GetColumnIndex("name")) == "liver", "the organ is named")
    _expect(read_scores(node) == score, "the comparison is read again")


def check_explanation() -> None:
    """Check that a map of an explanation lies on the volume, whatever its grid and transform."""
    from HybridSegLib.bench.explain_nodes import ExplainNodes
    from HybridSegLib.bench.points import voxel_at
    from HybridSegLib.bench.volumes import volume_of
    from napari_hybridseg.explain import ExplainOptions, Explanation, HeatMap, View

    scan = slicer.util.addVolumeFromArray(example_labels(), ijkToRAS=oblique_matrix(), name="scan")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(oblique_matrix()))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    volume = volume_of(scan)
    heat = HeatMap(
        volume.geometry, volume.source, volume.array[0].astype(np.float32), "map", "nats"
    )
    view = View(name="entropy", title="Entropy", description="", gives="map")
    shown = Explanation(view, ExplainOptions(), (heat,), provenance="")
    ExplainNodes(slicer.mrmlScene, scan).show(shown, volume.source)
    found = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    (node,) = [one for one in found if one is not scan]
    _expect(np.array_equal(slicer.util.arrayFromVolume(node), example_labels()), "numbers are kept")
    _expect(voxel_at(scan, world_of_voxel(node, (4, 5, 6))) == (4, 5, 6), "the map is on the scan")


def check_correction() -> None:
    """Check that what is painted is counted against the network's result."""
    from HybridSegLib.bench.correcting import begin, facts_of
    from napari_hybridseg.labels import LabelScheme

    labels = example_labels()
    scan = slicer.util.addVolumeFromArray(labels, ijkToRAS=oblique_matrix(), name="scan")
    given = slicer.util.addVolumeFromArray(
        labels, ijkToRAS=oblique_matrix(), nodeClassName="vtkMRMLLabelMapVolumeNode"
    )
    node, _ = begin(slicer.mrmlScene, scan, given, LabelScheme())
    _expect(facts_of(node, scan).edited_voxels == 0, "nothing is edited at first")
    painted = (labels == 1).astype(np.uint8)
    painted[0, 0, :3] = 1
    first = node.GetSegmentation().GetSegmentIDs()[0]
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, node, first, scan)
    _expect(facts_of(node, scan).edited_voxels == 3, "painted voxels are counted")


WITHOUT_ENGINE: tuple[Callable[[], None], ...] = (check_parameters, check_places)
WITH_ENGINE: tuple[Callable[[], None], ...] = (
    check_segmentation,
    check_scores,
    check_explanation,
    check_correction,
)


def run_all(say: Callable[[str], Any]) -> None:
    """Run every check that can run here.

    Raises
    ------
    AssertionError
        If one fails.
    """
    has_engine = find_spec(MODULE) is not None
    for check in (*WITHOUT_ENGINE, *(WITH_ENGINE if has_engine else ())):
        slicer.mrmlScene.Clear()
        check()
        say(f"{check.__name__}: passed")
    if not has_engine:
        say("The engine is not installed: install it in the HybridSeg panel for the other checks.")


def _expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise AssertionError(f"not so: {what}")
