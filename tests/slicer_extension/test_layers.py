"""Segments read and written by the layer, against Slicer's own export."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
import vtk
from HybridSegLib.bench import label_arrays
from HybridSegLib.bench.label_arrays import exported_labels, own_grid, renumbered
from HybridSegLib.bench.layers import bounding_box, make_layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KIND = "Binary labelmap"
GRIDS = (phantoms.PLAIN, phantoms.OBLIQUE)


def slicers_own(node: Any, grid: Any) -> Any:
    """What Slicer's export makes of a segmentation: the referee."""
    return label_arrays._exported(node, grid)


def random_segmentation(scene: Any, seed: int, matrix: Any, layers: int) -> tuple[Any, Any]:
    """Segments in several layers that overlap, of several kinds of numbers and several sizes."""
    rng = np.random.default_rng(seed)
    volume = phantoms.volume(f"scan {seed}", matrix)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    order = []
    for layer in range(layers):
        kind = (np.uint8, np.uint16)[int(rng.integers(2))]
        labels = np.zeros(phantoms.SHAPE, kind)
        for label in (1, 2, 200 + 100 * layer * (kind is np.uint16)):
            start = [int(rng.integers(0, size - 2)) for size in phantoms.SHAPE]
            stop = [int(rng.integers(a + 1, n)) for a, n in zip(start, phantoms.SHAPE, strict=True)]
            labels[tuple(slice(*ends) for ends in zip(start, stop, strict=True))] = label
        image, present = make_layer(labels, slicer.util.vtkMatrixFromArray(matrix))
        order += [(label, image) for label in present]
    for index in rng.permutation(len(order)):
        label, image = order[index]
        segment = slicer.vtkSegment()
        segment.SetName(f"segment {index}")  # without a name Slicer's export crashes
        segment.SetLabelValue(label)
        segment.AddRepresentation(KIND, image)
        node.GetSegmentation().AddSegment(segment, f"s{index}")
    return node, volume


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    matrix=st.sampled_from(GRIDS),
    layers=st.integers(1, 3),
    shift=st.tuples(*[st.integers(-3, 3)] * 3),
)
def test_it_reads_what_slicer_exports(
    scene: Any, seed: int, matrix: Any, layers: int, shift: tuple[int, int, int]
) -> None:
    scene.Clear(0)
    node, _ = random_segmentation(scene, seed, matrix, layers)
    moved = matrix @ np.array(
        [[1, 0, 0, shift[0]], [0, 1, 0, shift[1]], [0, 0, 1, shift[2]], [0, 0, 0, 1]]
    )
    grid = phantoms.volume("grid", moved)
    labels, _ = exported_labels(node, grid)
    np.testing.assert_array_equal(labels, slicers_own(node, grid))


def test_a_grid_between_the_voxels_is_left_to_slicer(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, _ = random_segmentation(scene, 1, phantoms.OBLIQUE, 2)
    half = phantoms.OBLIQUE @ np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    asked = []
    export = label_arrays._exported
    monkeypatch.setattr(label_arrays, "_exported", lambda *given: asked.append(1) or export(*given))
    exported_labels(node, phantoms.volume("between", half))
    exported_labels(
        node, phantoms.volume("turned", phantoms.turned((0.2, -0.3, 0.41), (0.8, 0.9, 2.5)))
    )
    assert len(asked) == 2
    exported_labels(node, phantoms.volume("same", phantoms.OBLIQUE))
    assert len(asked) == 2


def test_a_moved_segmentation_is_left_to_slicer(scene: Any) -> None:
    node, volume = random_segmentation(scene, 2, phantoms.PLAIN, 1)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = -2.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    before, _ = exported_labels(node, volume)
    node.SetAndObserveTransformNodeID(transform.GetID())
    after, _ = exported_labels(node, volume)
    np.testing.assert_array_equal(after[:, :, 2:], before[:, :, :-2])


def test_surfaces_are_left_to_slicer(scene: Any) -> None:
    volume = phantoms.volume(matrix=phantoms.PLAIN)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ball = vtk.vtkSphereSource()
    ball.SetCenter(-8.0, -10.0, 6.0)
    ball.SetRadius(4.0)
    ball.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball", (1.0, 0.0, 0.0))
    labels, _ = exported_labels(node, volume)
    assert 150 < labels.sum() < 350  # 268 mm³


def test_its_own_grid_may_begin_elsewhere(scene: Any) -> None:
    node, volume = random_segmentation(scene, 3, phantoms.OBLIQUE, 1)
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = node.GetSegmentation().GetConversionParameter(name).rstrip(";").split(";")
    text[-6:] = ["2", "15", "1", "19", "3", "11"]
    node.GetSegmentation().SetConversionParameter(name, ";".join(text) + ";")
    labels, _ = exported_labels(node)
    whole, _ = exported_labels(node, volume)
    np.testing.assert_array_equal(labels, whole[3:12, 1:20, 2:16])
    with own_grid(node) as grid:
        first = slicer.util.vtkMatrixFromArray(phantoms.OBLIQUE).MultiplyPoint((2, 1, 3, 1))
        np.testing.assert_allclose(grid.GetOrigin(), first[:3])


def test_a_box_is_no_larger_than_what_is_in_it() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1, 2, 3] = labels[3, 4, 5] = 9
    assert bounding_box(labels) == (slice(1, 4), slice(2, 5), slice(3, 6))
    assert labels[bounding_box(np.zeros_like(labels))].size == 0


@pytest.mark.parametrize("numbers", [(1, 2, 3), (3, 1, 7), (300, 2, 65535)])
def test_numbers_are_exchanged(numbers: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.uint8)
    np.testing.assert_array_equal(renumbered(labels, numbers), np.array([0, *numbers])[labels])
