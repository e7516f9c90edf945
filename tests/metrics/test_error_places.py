"""Where a prediction is wrong, against distances that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import ScoreError, score_arrays
from napari_hybridseg.metrics.error_places import error_map, find_errors, organ_places
from napari_hybridseg.volume import LabelMap

SPACING = (3.0, 2.0, 1.0)


def boxes(*corners: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros((8, 10, 12), np.uint8)
    for label, z0, z1, y0, y1, x0, x1 in corners:
        labels[z0:z1, y0:y1, x0:x1] = label
    return labels


def test_the_error_map_tells_the_three_kinds_apart():
    prediction, reference = np.array([[[1, 1, 0, 2, 0]]]), np.array([[[1, 0, 1, 1, 0]]])
    assert error_map(prediction, reference, (1, 2)).tolist() == [[[0, 1, 2, 3, 0]]]
    assert error_map(prediction, reference, (1,)).tolist() == [[[0, 1, 2, 2, 0]]]


def test_the_worst_place_is_the_tip_of_a_bump():
    reference = boxes((1, 2, 6, 2, 8, 2, 8))
    prediction = reference.copy()
    prediction[4, 5, 8:11] = 1  # a finger, three voxels of 1 mm long
    places = organ_places(prediction, reference, SPACING, 1)
    assert places.worst is not None
    assert places.worst.start == (4, 5, 10)
    assert places.worst.end == (4, 5, 7)
    assert places.worst.length_mm == pytest.approx(3.0)


def test_what_only_one_map_has_still_has_a_middle():
    reference = boxes((2, 1, 4, 2, 5, 3, 8))
    places = organ_places(np.zeros_like(reference), reference, SPACING, 2)
    assert places.centroid == (2.0, 3.0, 5.0)
    assert places.worst is None
    assert places.hd95 is None
    assert organ_places(reference, reference, SPACING, 7).centroid is None


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    convention=st.sampled_from(["monai", "pooled"]),
    depth=st.sampled_from([1, 5]),
)
def test_the_lines_are_the_distances_that_are_scored(seed, convention, depth):
    random = np.random.default_rng(seed)
    a, b = (random.integers(0, 2, (depth, 6, 7)).astype(np.uint8) for _ in range(2))
    if not (a.any() and b.any()):
        return
    places = organ_places(a, b, SPACING, 1, convention)
    organ = score_arrays(a, b, SPACING, convention=convention).organ(1)
    assert places.worst is not None
    assert places.hd95 is not None
    assert places.worst.length_mm == pytest.approx(organ.hd100_mm)
    ends = np.subtract(places.worst.start, places.worst.end) * SPACING
    assert np.linalg.norm(ends) == pytest.approx(places.worst.length_mm)
    # a percentile lies between two distances that occur; the line has one of them
    assert places.hd95.length_mm <= places.worst.length_mm


def label_map(array: np.ndarray, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> LabelMap:
    eye = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(array.shape[::-1], (1.0, 2.0, 3.0), origin, eye)
    scheme = LabelScheme.from_names({1: "liver"}, "t")
    return LabelMap(geometry, geometry, array, scheme, name="scan")


def test_the_overlay_lies_on_the_reference():
    reference = label_map(boxes((1, 2, 6, 2, 8, 2, 8)))
    moved = label_map(reference.array, origin=(2.0, 0.0, 0.0))
    errors = find_errors(moved, reference, (1,))
    assert errors.overlay.geometry == reference.geometry
    assert (errors.overlay.array == 1).sum() == (errors.overlay.array == 2).sum() == 4 * 6 * 2
    (places,) = errors.places
    assert places.worst is not None
    assert places.worst.length_mm == pytest.approx(2.0)


def test_other_patients_are_refused():
    reference = label_map(boxes((1, 2, 6, 2, 8, 2, 8)))
    with pytest.raises(ScoreError, match="share no space"):
        find_errors(label_map(reference.array, origin=(900.0, 0.0, 0.0)), reference, (1,))
