from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.tools import (
    VOLUME,
    Change,
    Scope,
    brush,
    fill_holes,
    interpolate_slices,
    keep_largest,
    limit_to_range,
    merge_labels,
    remove_islands,
    smooth,
    split_by_plane,
    split_component,
)

SPACING = (3.0, 1.0, 0.5)
SCOPES = [VOLUME, Scope(0, 2), Scope(1, 3), Scope(2, 1)]

label_maps = arrays.arrays(np.uint8, (5, 6, 7), elements=st.integers(0, 3))


def applied(labels: np.ndarray, change: Change) -> np.ndarray:
    after = labels.copy()
    change.apply(after)
    assert np.count_nonzero(after != labels) == change.voxels
    return after


def ball(radius_mm: float, spacing: tuple[float, float, float] = SPACING) -> np.ndarray:
    shape = [int(2 * radius_mm / edge) + 7 for edge in spacing]
    grid = np.meshgrid(
        *[(np.arange(n) - n // 2) * e for n, e in zip(shape, spacing, strict=True)], indexing="ij"
    )
    return (sum(g**2 for g in grid) <= radius_mm**2).astype(np.uint8)


TOOLS: dict[str, Callable[[np.ndarray, Scope], Change]] = {
    "largest": lambda labels, scope: keep_largest(labels, 1, scope),
    "islands": lambda labels, scope: remove_islands(labels, 1, 0.005, SPACING, scope),
    "holes": lambda labels, scope: fill_holes(labels, 1, scope),
    "smooth": lambda labels, scope: smooth(labels, 1, 2.0, SPACING, scope),
    "merge": lambda labels, scope: merge_labels(labels, [1], 9, scope),
}


@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("tool", TOOLS)
@given(labels=label_maps)
def test_a_tool_touches_its_organ_in_its_scope_and_nothing_else(
    tool: str, scope: Scope, labels: np.ndarray
) -> None:
    before = labels.copy()
    change = TOOLS[tool](labels, scope)
    np.testing.assert_array_equal(labels, before)
    after = applied(labels, change)
    assert after.dtype == labels.dtype
    outside = np.ones(labels.shape, bool)
    outside[scope.box(labels.shape)] = False
    np.testing.assert_array_equal(after[outside], labels[outside])
    for other in (2, 3):
        np.testing.assert_array_equal(after == other, labels == other)
    if change.voxels:
        trimmed = after[change.box] != labels[change.box]
        assert all(trimmed.any(axis=a)[[0, -1]].any() for a in ((1, 2), (0, 2), (0, 1)))


@given(labels=label_maps)
def test_the_largest_part_is_what_stays(labels: np.ndarray) -> None:
    parts, count = ndimage.label(labels == 1)
    after = applied(labels, keep_largest(labels, 1)) == 1
    assert ndimage.label(after)[1] == min(count, 1)
    if count:
        assert after.sum() == np.bincount(parts.ravel())[1:].max()


def test_islands_are_measured_in_millilitres() -> None:
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[1:3, 1:3, 1:3] = 1
    labels[6:9, 6:9, 6:9] = 1
    ml = np.prod(SPACING) / 1000
    assert remove_islands(labels, 1, 7.9 * ml, SPACING).voxels == 0
    after = applied(labels, remove_islands(labels, 1, 8.1 * ml, SPACING))
    assert after.sum() == 27
    flat = applied(labels, remove_islands(labels, 1, 8.1 * ml, SPACING, Scope(0, 7)))
    assert flat.sum() == 35


def test_holes_in_a_slice_and_in_the_volume() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[2, 2, 2] = 0
    labels[1, 2, 2] = 0  # opens it upwards
    assert fill_holes(labels, 1).voxels == 0
    after = applied(labels, fill_holes(labels, 1, Scope(0, 2)))
    assert after[2, 2, 2] == 1
    assert after[1, 2, 2] == 0
    labels[1, 2, 2] = 2  # another organ closes it
    assert fill_holes(labels, 1).voxels == 0
    labels[1, 2, 2] = 1
    assert applied(labels, fill_holes(labels, 1))[2, 2, 2] == 1


def test_smoothing_is_in_millimetres_and_keeps_the_volume() -> None:
    smooth_ball = ball(12.0)
    rough = smooth_ball.copy()
    random = np.random.default_rng(0)
    shell = ndimage.binary_dilation(smooth_ball) & (smooth_ball == 0)
    rough[shell & (random.random(rough.shape) < 0.4)] = 1
    after = applied(rough, smooth(rough, 1, 4.0, SPACING))
    assert after.sum() == pytest.approx(rough.sum(), rel=0.05)

    def border(mask: np.ndarray) -> int:
        return sum(int(np.abs(np.diff(mask.astype(int), axis=a)).sum()) for a in range(3))

    assert border(after) < 0.7 * border(rough)
    middle = applied(rough, smooth(rough, 1, 4.0, SPACING, Scope(0, rough.shape[0] // 2)))
    assert border(middle) < border(rough)
    assert smooth(rough, 1, 0.0, SPACING).voxels == 0


def test_smoothing_respects_thick_slices() -> None:
    """A plate of one thick slice: 1 mm of smoothing must not blur 10 mm across."""
    labels = np.zeros((5, 30, 30), np.uint8)
    labels[2, 5:25, 5:25] = 1
    after = applied(labels, smooth(labels, 1, 2.0, (10.0, 1.0, 1.0)))
    assert (after[[0, 1, 3, 4]] == 0).all()
    assert after[2].sum() > 380


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_fills_a_ball_from_a_few_slices(axis: int) -> None:
    truth = ball(14.0, (1.0, 1.0, 1.0))
    sparse = np.zeros_like(truth)
    depth = truth.shape[axis]
    kept = [n for n in range(depth) if truth.take(n, axis).any()][::4]
    np.moveaxis(sparse, axis, 0)[kept] = np.moveaxis(truth, axis, 0)[kept]
    after = applied(sparse, interpolate_slices(sparse, 1, (1.0, 1.0, 1.0), axis))
    span = np.moveaxis(truth, axis, 0)[kept[0] : kept[-1] + 1]
    filled = np.moveaxis(after, axis, 0)[kept[0] : kept[-1] + 1]
    assert 2 * (span & filled).sum() / (span.sum() + filled.sum()) > 0.96
    np.testing.assert_array_equal(np.moveaxis(after, axis, 0)[kept], span[::4])


def test_interpolation_follows_an_oblique_tube_and_spares_others() -> None:
    labels = np.zeros((9, 10, 40), np.uint8)
    labels[0, 3:7, 2:6] = 1
    labels[8, 3:7, 30:34] = 1
    labels[4, 5, 17] = 2
    after = applied(labels, interpolate_slices(labels, 1, (2.0, 1.0, 1.0)))
    assert all((after[z] == 1).sum() >= 8 for z in range(9))
    assert ndimage.center_of_mass(after[4] == 1)[1] == pytest.approx(17.5, abs=1)
    assert after[4, 5, 17] == 2


def test_interpolation_may_replace_what_lies_between() -> None:
    labels = np.zeros((5, 12, 12), np.uint8)
    labels[:, 1:11, 1:11] = 1
    labels[0] = labels[4] = 0
    labels[0, 4:8, 4:8] = labels[4, 4:8, 4:8] = 1
    assert interpolate_slices(labels, 1, (1, 1, 1)).voxels == 0
    after = applied(labels, interpolate_slices(labels, 1, (1, 1, 1), painted=[0, 4]))
    assert all((after[z] == 1).sum() == 16 for z in range(5))
    with pytest.raises(CorrectionError, match="at least two slices"):
        interpolate_slices(labels, 1, (1, 1, 1), painted=[0, 77])


def test_interpolation_may_fill_one_slice_alone() -> None:
    labels = np.zeros((9, 12, 12), np.uint8)
    labels[1, 3:9, 3:9] = labels[7, 3:9, 3:9] = 1
    whole = applied(labels, interpolate_slices(labels, 1, (1, 1, 1)))
    after = applied(labels, interpolate_slices(labels, 1, (1, 1, 1), only=4))
    np.testing.assert_array_equal(after[4], whole[4])
    assert after[4].any()
    others = [0, 1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(after[others], labels[others])
    with pytest.raises(CorrectionError, match="does not lie between"):
        interpolate_slices(labels, 1, (1, 1, 1), only=8)


def test_splitting_by_part() -> None:
    labels = np.zeros((4, 4, 8), np.uint8)
    labels[1:3, 1:3, 1:3] = labels[1:3, 1:3, 5:7] = 1
    after = applied(labels, split_component(labels, (1, 1, 5), 4))
    assert (after[..., :4] == labels[..., :4]).all()
    assert (after == 4).sum() == 8
    with pytest.raises(CorrectionError, match="no organ"):
        split_component(labels, (0, 0, 0), 4)
    with pytest.raises(CorrectionError, match="up to 255"):
        split_component(labels, (1, 1, 5), 300)


def test_splitting_by_a_plane_in_millimetres() -> None:
    labels = np.ones((6, 6, 6), np.uint8)
    after = applied(labels, split_by_plane(labels, (2, 3, 3), (1, 0, 0), 2, SPACING))
    np.testing.assert_array_equal(after, np.where(np.arange(6)[:, None, None] > 2, 2, 1) * labels)
    slanted = applied(labels, split_by_plane(labels, (0, 0, 0), (1, 0, -6), 2, (3.0, 1.0, 0.5)))
    assert slanted[1, 0, 0] == 2
    assert slanted[1, 0, 1] == 1  # 3 mm up against 6 times half a millimetre: on the plane
    with pytest.raises(CorrectionError, match="no direction"):
        split_by_plane(labels, (0, 0, 0), (0, 0, 0), 2, SPACING)


def test_the_brush_is_round_in_millimetres_and_keeps_to_its_range() -> None:
    labels = np.zeros((21, 41, 81), np.uint8)
    image = np.zeros(labels.shape, np.float32)
    after = applied(labels, brush(labels, image, (10, 20, 40), 6.0, 1, SPACING))
    reach = [np.flatnonzero(after.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1))]
    assert [int(r[-1] - r[0]) for r in reach] == [4, 12, 24]
    image[:, :20] = 100
    image[10, 30, 40] = np.nan
    low = brush(labels, image, (10, 20, 40), 20.0, 1, SPACING, low=50, high=150)
    assert not applied(labels, low)[:, 20:].any()
    wide = applied(labels, brush(labels, image, (10, 20, 40), 20.0, 1, SPACING, low=-1, high=500))
    assert wide[10, 30, 40] == 0
    flat = applied(labels, brush(labels, image, (10, 20, 40), 6.0, 1, SPACING, Scope(0, 10)))
    assert np.flatnonzero(flat.any(axis=(1, 2))).tolist() == [10]
    labels[10] = 2
    over = applied(labels, brush(labels, image, (10, 20, 40), 6.0, 1, SPACING, over=0))
    assert (over[10] == 2).all()
    assert (over[9] == 1).any()
    assert brush(labels, image, (10, 20, 40), 6.0, 1, SPACING, Scope(0, 3)).voxels == 0


def test_a_viewers_stroke_is_limited_afterwards() -> None:
    before = np.array([[[0, 2, 0]]], np.uint8)
    after = np.ones_like(before)
    image = np.array([[[5.0, 50.0, np.nan]]])
    assert limit_to_range(before, after, image, 0, 10).tolist() == [[[1, 2, 0]]]


def test_a_slice_that_is_not_there_is_told() -> None:
    with pytest.raises(CorrectionError, match="no slice 7"):
        keep_largest(np.ones((3, 3, 3), np.uint8), 1, Scope(0, 7))
