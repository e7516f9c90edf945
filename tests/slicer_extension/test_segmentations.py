"""Label maps into the real MRML scene and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
import vtk
from HybridSegLib.bench.label_arrays import exported_labels
from HybridSegLib.bench.label_maps import label_map_of, scheme_of_segments
from HybridSegLib.bench.node_geometry import geometry_of, ijk_to_ras
from HybridSegLib.bench.segmentations import is_untouched, scheme_of, show_label_map
from HybridSegLib.bench.terminology import code_of, tag_of
from HybridSegLib.bench.volumes import facts_of, modality_of, volume_of

from napari_hybridseg.formats import StoredImage
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, VolumeError

GRIDS = {
    "plain": phantoms.PLAIN,
    "oblique": phantoms.OBLIQUE,
    "left-handed": phantoms.turned((1.7, 0.1, -2.9), (2.0, 0.5, 0.7)) @ np.diag([-1, 1, 1, 1]),
}


def as_label_map(node: Any, array: Any = None) -> LabelMap:
    """What the engine answers: canonical, on the volume's grid."""
    array = phantoms.labels() if array is None else array
    stored = StoredImage(array=array[None], geometry=geometry_of(node, array.shape))
    return LabelMap.from_stored(stored, "answer", phantoms.SCHEME)


@pytest.fixture(params=GRIDS.values(), ids=GRIDS.keys())
def scan(request: pytest.FixtureRequest, scene: Any) -> Any:
    return phantoms.volume(matrix=request.param)


def shown(scene: Any, scan: Any, array: Any = None) -> Any:
    return show_label_map(scene, as_label_map(scan, array), scan, "net")


def values_of(node: Any, grid: Any) -> Any:
    return label_map_of(node, grid).to_source(label_map_of(node, grid).array)


def test_the_volume_is_canonical_and_knows_its_way_back(scan: Any) -> None:
    volume = volume_of(scan)
    np.testing.assert_array_equal(
        volume.to_source(volume.array)[0], slicer.util.arrayFromVolume(scan)
    )
    assert volume.geometry.axis_codes == "LPS"
    assert volume.array.base is not None  # a view: nothing was copied


def test_the_grid_is_the_nodes_own_in_lps(scan: Any) -> None:
    geometry = volume_of(scan).source
    index = np.array([3.0, 5.0, 2.0])  # Z, Y, X
    ras = ijk_to_ras(scan) @ np.array([2.0, 5.0, 3.0, 1.0])
    np.testing.assert_allclose(geometry.world(index), ras[:3] * [-1, -1, 1], atol=1e-9)


def test_labels_come_back_identical(scene: Any, scan: Any) -> None:
    node = shown(scene, scan)
    np.testing.assert_array_equal(values_of(node, scan), phantoms.labels())


def test_labels_come_back_identical_without_a_volume(scene: Any, scan: Any) -> None:
    node = shown(scene, scan)
    array, ids = exported_labels(node)
    assert array.shape == phantoms.SHAPE
    assert len(ids) == 4
    assert {int(v) for v in np.unique(array)} == {0, 1, 2, 3}


def test_segments_have_names_colours_codes_in_the_schemes_order(scene: Any, scan: Any) -> None:
    segmentation = shown(scene, scan).GetSegmentation()
    segments = [segmentation.GetSegment(key) for key in segmentation.GetSegmentIDs()]
    assert [s.GetName() for s in segments] == ["liver", "spleen", "odd thing", "not found"]
    np.testing.assert_allclose(segments[0].GetColor(), np.array([0xDD, 0x88, 0x22]) / 255)
    assert [code_of(s) for s in segments] == ["10200004", "78961009", "", ""]


def test_the_terminology_entry_is_one_that_slicer_reads(scene: Any, scan: Any) -> None:
    segment = shown(scene, scan).GetSegmentation().GetNthSegment(0)
    text = tag_of(segment, segment.GetTerminologyEntryTagName())
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.modules.terminologies.logic()
    assert logic.DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeValue() == "10200004"
    assert entry.GetTypeObject().GetCodeMeaning() == "liver"
    assert entry.GetCategoryObject().GetCodeMeaning() == "Anatomical Structure"


def test_an_organ_that_was_not_found_has_an_empty_segment_to_paint_in(
    scene: Any, scan: Any
) -> None:
    node = shown(scene, scan)
    segmentation = node.GetSegmentation()
    last = segmentation.GetSegmentIDs()[-1]
    assert not slicer.util.arrayFromSegmentBinaryLabelmap(node, last, scan).any()
    array = np.zeros(phantoms.SHAPE, np.uint8)
    array[4, 4, 9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, last, scan)
    assert values_of(node, scan)[4, 4, 9] == 9


def test_an_empty_result_is_a_segmentation_too(scene: Any, scan: Any) -> None:
    node = shown(scene, scan, np.zeros(phantoms.SHAPE, np.uint8))
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    assert not values_of(node, scan).any()


def test_a_result_without_organs_has_no_segments_and_is_untouched(scene: Any, scan: Any) -> None:
    nothing = as_label_map(scan, np.zeros(phantoms.SHAPE, np.uint8))
    node = show_label_map(scene, replace(nothing, scheme=LabelScheme()), scan, "net")
    assert not node.GetSegmentation().GetSegmentIDs()
    assert is_untouched(node)
    assert exported_labels(node)[0].shape == phantoms.SHAPE


def test_it_moves_with_its_volume(scene: Any, scan: Any) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(
        slicer.util.vtkMatrixFromArray(phantoms.turned((0.1, 0.5, -0.2), (1, 1, 1)))
    )
    scan.SetAndObserveTransformNodeID(transform.GetID())
    node = shown(scene, scan)
    assert node.GetParentTransformNode() is transform
    np.testing.assert_array_equal(values_of(node, scan), phantoms.labels())


def test_it_fits_its_volume_under_a_bending_transform(scene: Any, scan: Any) -> None:
    bent = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in ((0, 0, 0), (30, 0, 0), (0, 30, 0), (0, 0, 30), (20, 20, 20)):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point[0] + 2 * np.sin(point[1]), point[1] + 1, point[2] - 3)
    bent.SetSourceLandmarks(source)
    bent.SetTargetLandmarks(target)
    bent.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(bent)
    scan.SetAndObserveTransformNodeID(transform.GetID())
    node = shown(scene, scan)
    assert "bends" in facts_of(scan).notes[0]
    np.testing.assert_array_equal(values_of(node, scan), phantoms.labels())


def test_a_turning_transform_turns_what_the_network_sees(scene: Any) -> None:
    scan = phantoms.volume(matrix=phantoms.PLAIN)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    quarter = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(quarter))
    before = volume_of(scan).array.shape
    scan.SetAndObserveTransformNodeID(transform.GetID())
    after = volume_of(scan)
    assert after.array.shape == (1, before[1], before[3], before[2])
    np.testing.assert_array_equal(
        after.to_source(after.array)[0], slicer.util.arrayFromVolume(scan)
    )


def test_running_again_writes_an_untouched_result_anew(scene: Any, scan: Any) -> None:
    first = shown(scene, scan)
    less = np.where(phantoms.labels() == 3, 3, 0).astype(np.uint8)
    assert shown(scene, scan, less) is first
    np.testing.assert_array_equal(values_of(first, scan), less)


def test_running_again_leaves_an_edited_result_alone(scene: Any, scan: Any) -> None:
    first = shown(scene, scan)
    key = first.GetSegmentation().GetSegmentIDs()[0]
    array = slicer.util.arrayFromSegmentBinaryLabelmap(first, key, scan).copy()
    array[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, first, key, scan)
    assert not is_untouched(first)
    second = shown(scene, scan)
    assert second is not first
    assert second.GetName() != first.GetName()
    assert values_of(first, scan)[0, 0, 0] == 3


def test_nothing_is_left_behind_in_the_scene(scene: Any, scan: Any) -> None:
    scene.GetSubjectHierarchyNode()  # made when it is first asked for
    before = scene.GetNumberOfNodes()
    node = shown(scene, scan)
    values_of(node, scan)
    added = scene.GetNumberOfNodes() - before
    assert added == 2  # the segmentation and its display


def test_the_scheme_is_kept_with_the_node(scene: Any, scan: Any) -> None:
    assert scheme_of(shown(scene, scan)) == phantoms.SCHEME


def test_another_numbering_is_matched_by_name_then_by_code(scene: Any, scan: Any) -> None:
    node = shown(scene, scan)
    segmentation = node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    for key in ids:
        segmentation.GetSegment(key).RemoveTag("HybridSeg.Label")
    segmentation.GetSegment(ids[0]).SetName("LIVER")
    segmentation.GetSegment(ids[1]).SetName("Milz")
    segmentation.GetSegment(ids[2]).SetName("something else")
    scheme = scheme_of_segments(node, phantoms.SCHEME)
    assert scheme.ids[:2] == (3, 1)
    assert scheme.ids[2] not in phantoms.SCHEME.ids


def test_modality_is_told_by_hounsfield_units(scan: Any) -> None:
    assert modality_of(scan) == ""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    scan.SetVoxelValueUnits(units)
    assert modality_of(scan) == "CT"


def test_a_sheared_volume_is_refused_in_one_sentence(scene: Any) -> None:
    sheared = phantoms.PLAIN.copy()
    sheared[0, 1] = 0.4
    facts = facts_of(phantoms.volume(matrix=sheared))
    assert "right angles" in facts.problem
    assert "Resample Scalar Volume" in facts.problem


def test_a_volume_without_voxels_is_refused(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(VolumeError, match="no voxels"):
        volume_of(node)


def test_channels_come_first(scene: Any) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*phantoms.SHAPE, 3), np.uint8)
    node = slicer.util.addVolumeFromArray(
        rgb, ijkToRAS=phantoms.OBLIQUE, nodeClassName="vtkMRMLVectorVolumeNode"
    )
    volume = volume_of(node)
    assert volume.array.shape[0] == 3
    np.testing.assert_array_equal(volume.to_source(volume.array), np.moveaxis(rgb, -1, 0))


def test_unexpected_labels_get_a_segment(scene: Any, scan: Any) -> None:
    array = phantoms.labels()
    array[11, 0, 0] = 200
    stored = as_label_map(scan, array)
    node = show_label_map(scene, replace(stored, scheme=phantoms.SCHEME), scan, "net")
    names = [s.name for s in scheme_of_segments(node).organs]
    assert names[-1] == "label 200"
    np.testing.assert_array_equal(values_of(node, scan), array)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hardened_transform_changes_nothing_of_the_result(scene: Any, when: str) -> None:
    scan = phantoms.volume()
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(
        slicer.util.vtkMatrixFromArray(phantoms.turned((0.1, 0.5, -0.2), (1, 1, 1)))
    )
    scan.SetAndObserveTransformNodeID(transform.GetID())
    seen = volume_of(scan)
    if when == "before":
        scan.HardenTransform()
    node = shown(scene, scan)
    if when == "after":
        scan.HardenTransform()
        node.HardenTransform()
    assert node.GetParentTransformNode() is None
    assert volume_of(scan).source.same_grid(seen.source)
    np.testing.assert_array_equal(volume_of(scan).array, seen.array)
    np.testing.assert_array_equal(values_of(node, scan), phantoms.labels())
