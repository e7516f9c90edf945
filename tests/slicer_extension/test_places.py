"""Where a click in the score table leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
from HybridSegLib.bench.places import place_of_organ, place_of_worst_error
from HybridSegLib.bench.tasks import ScoreTask
from HybridSegLib.bench.worst_error import middle_of, worst_error
from HybridSegLib.slices import world_of_voxel
from hypothesis import given
from hypothesis import strategies as st

UNIT = (1.0, 1.0, 1.0)


@given(st.integers(0, 2**32 - 1))
def test_the_middle_of_a_mask_is_in_it(seed: int) -> None:
    mask = np.random.default_rng(seed).random((4, 5, 6)) > 0.8
    voxel = middle_of(mask)
    assert (voxel is None) == (not mask.any())
    assert voxel is None or mask[voxel]


@given(st.integers(0, 2**32 - 1))
def test_the_worst_error_is_an_error(seed: int) -> None:
    ours, theirs = np.random.default_rng(seed).random((2, 4, 5, 6)) > 0.6
    voxel = worst_error(ours, theirs, UNIT)
    assert (voxel is None) == bool((ours == theirs).all())
    assert voxel is None or ours[voxel] != theirs[voxel]


def test_the_thickest_error_counts_and_not_the_longest() -> None:
    ours, theirs = np.zeros((2, 20, 20, 20), bool)
    theirs[1, 1, :] = True  # long and thin
    theirs[10:15, 10:15, 10:15] = True
    assert worst_error(ours, theirs, UNIT) == (12, 12, 12)


def test_thick_slices_count_in_millimetres() -> None:
    ours, theirs = np.zeros((2, 12, 20, 20), bool)
    theirs[2:5, 2:9, 2:5] = True  # 3 slices of 5 mm
    theirs[8, 8:15, 8:15] = True  # one slice, 7 voxels of 1 mm across
    k, _, _ = worst_error(ours, theirs, (5.0, 1.0, 1.0)) or (0, 0, 0)
    assert k == 8


def test_a_missed_organ_is_shown_in_the_reference(scene: Any) -> None:
    truth = phantoms.label_map_node("truth")
    ours = phantoms.label_map_node("ours", np.zeros(phantoms.SHAPE, np.uint8))
    place = place_of_organ(ours, truth, 3)
    assert place is not None
    np.testing.assert_allclose(place, world_of_voxel(truth, (5, 6, 4)), atol=2.6)
    assert place_of_organ(ours, truth, 55) is None


def test_no_error_is_no_place(scene: Any) -> None:
    truth, ours = phantoms.label_map_node("truth"), phantoms.label_map_node("ours")
    assert place_of_worst_error(ours, truth, 3) is None


def test_nodes_on_different_grids_are_scored_by_the_engine_where_they_lie(scene: Any) -> None:
    truth = phantoms.label_map_node("truth")
    finer = np.repeat(phantoms.labels(), 2, axis=0)
    matrix = phantoms.OBLIQUE.copy()
    matrix[:3, 2] /= 2
    job = ScoreTask(phantoms.label_map_node("fine", finer, matrix), truth).next_job()
    assert job is not None
    assert not job.prediction.geometry.same_grid(job.reference.geometry)
    assert job.prediction.geometry.overlaps(job.reference.geometry)


@pytest.mark.parametrize("organ", [3, 1])
def test_the_place_is_moved_by_the_transform(scene: Any, organ: int) -> None:
    import slicer

    truth = phantoms.label_map_node("truth")
    before = place_of_organ(truth, truth, organ)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:3, 3] = (10, 20, 30)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    truth.SetAndObserveTransformNodeID(transform.GetID())
    after = place_of_organ(truth, truth, organ)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(np.subtract(after, before), (10, 20, 30), atol=1e-6)
