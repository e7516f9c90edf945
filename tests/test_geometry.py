from __future__ import annotations

import numpy as np
import pytest
from helpers import EVERY_ORDER, geometries, grid
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_hybridseg.geometry import Geometry, GeometryError, Reorientation

few = settings(max_examples=40)
ORDERS = st.sampled_from(EVERY_ORDER)
CODES = ["LPS", "RAS", "SAL", "IRP", "PIR", "ALI", "SPR", "LIA"]


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Give an array in which every voxel has its own number."""
    return np.arange(np.prod(shape)).reshape(shape)


def by_position(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Give the world position of voxel number 0, 1, 2, ... of an array of numbers."""
    index = np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1)
    positions = np.empty((array.size, 3))
    positions[array.ravel()] = geometry.world(index.reshape(-1, 3))
    return positions


@few
@given(geometry=geometries(), order=ORDERS)
def test_a_voxel_stays_where_it_is_in_the_patient(geometry: Geometry, order: Reorientation) -> None:
    array = numbered(geometry.shape)
    turned, there = order.apply(array), geometry.reoriented(order)
    assert turned.shape == there.shape
    np.testing.assert_allclose(
        by_position(turned, there), by_position(array, geometry), atol=1e-9, rtol=1e-12
    )


@few
@given(shape=st.tuples(*[st.integers(1, 5)] * 3), order=ORDERS, channels=st.integers(0, 3))
def test_the_inverse_undoes(shape: tuple[int, int, int], order: Reorientation, channels: int):
    array = numbered((channels, *shape) if channels else shape)
    np.testing.assert_array_equal(order.inverse().apply(order.apply(array)), array)
    np.testing.assert_array_equal(order.apply(order.inverse().apply(array)), array)
    assert order.inverse().inverse() == order


def test_the_48_orders_are_all_different() -> None:
    seen = {order.apply(numbered((2, 3, 4))).tobytes() for order in EVERY_ORDER}
    assert len(seen) == len(EVERY_ORDER) == 48


def test_reordering_is_a_view() -> None:
    array = numbered((2, 3, 4))
    assert np.shares_memory(EVERY_ORDER[29].apply(array), array)


@few
@given(geometry=geometries(), codes=st.sampled_from(CODES))
def test_any_grid_reaches_any_orientation(geometry: Geometry, codes: str) -> None:
    there = geometry.reoriented(geometry.to_axis_codes(codes))
    assert there.axis_codes == codes
    assert there.to_axis_codes(codes) == Reorientation((0, 1, 2), (False, False, False))


@few
@given(geometry=geometries(), order=ORDERS)
def test_the_canonical_grid_does_not_depend_on_how_the_file_is_stored(
    geometry: Geometry, order: Reorientation
) -> None:
    one, other = (g.reoriented(g.to_axis_codes()) for g in (geometry, geometry.reoriented(order)))
    assert one.size == other.size
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-9, rtol=1e-9)


@few
@given(geometry=geometries())
def test_there_and_back_is_the_source_grid(geometry: Geometry) -> None:
    change = geometry.to_axis_codes("LPS")
    back = geometry.reoriented(change).reoriented(change.inverse())
    assert back.size == geometry.size
    assert back.spacing == geometry.spacing
    assert back.direction == geometry.direction
    np.testing.assert_allclose(back.origin, geometry.origin, atol=1e-10)


def test_axis_codes_say_where_the_axes_run_to() -> None:
    assert grid().axis_codes == "LPS"
    flipped = grid().reoriented(Reorientation((2, 0, 1), (True, False, True)))
    assert flipped.axis_codes == "ILA"
    assert grid(angles=(0, 0, 30)).axis_codes == "LPS"
    assert grid(angles=(0, 0, 90)).axis_codes == "PRS"


@pytest.mark.parametrize("codes", ["", "LP", "LPX", "LPSX", "LPSS", "LRS", "lps", "LPSL"])
def test_no_orientation_is_refused(codes: str) -> None:
    with pytest.raises(GeometryError, match="no orientation"):
        grid().to_axis_codes(codes)


@pytest.mark.parametrize(
    ("angle", "oblique"), [(0.0, False), (0.05, False), (0.2, True), (30.0, True), (90.0, False)]
)
def test_oblique(angle: float, oblique: bool) -> None:
    assert grid(angles=(0, angle, 0)).is_oblique is oblique


@few
@given(geometry=geometries(), seed=st.integers(0, 99))
def test_index_and_world_are_inverse(geometry: Geometry, seed: int) -> None:
    index = np.random.default_rng(seed).uniform(-3, 9, (4, 3))
    np.testing.assert_allclose(geometry.index(geometry.world(index)), index, atol=1e-6)


def test_world_by_hand() -> None:
    # index (Z, Y, X) = (1, 2, 3) at spacing (1, 1.5, 2) in (x, y, z)
    np.testing.assert_allclose(
        grid().world(np.array([1, 2, 3])), [-30 + 3 * 1.0, 12.5 + 2 * 1.5, 100 + 1 * 2.0]
    )


@few
@given(geometry=geometries())
def test_an_affine_makes_the_same_grid(geometry: Geometry) -> None:
    again = Geometry.from_affine(geometry.shape, geometry.affine)
    assert again.size == geometry.size
    np.testing.assert_allclose(again.affine, geometry.affine, atol=1e-9)


def box_corners(geometry: Geometry) -> np.ndarray:
    ends = [(-0.5, n - 0.5) for n in geometry.shape]
    return geometry.world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


@few
@given(geometry=geometries(), spacing=st.tuples(*[st.floats(0.2, 20)] * 3))
def test_another_spacing_keeps_the_box(
    geometry: Geometry, spacing: tuple[float, float, float]
) -> None:
    other = geometry.with_spacing(spacing)
    np.testing.assert_allclose(box_corners(other), box_corners(geometry), atol=1e-7)
    extent = np.multiply(geometry.size, geometry.spacing)
    for voxels, wished, length in zip(other.size, spacing, extent, strict=True):
        assert voxels == max(round(length / wished), 1)


@few
@given(geometry=geometries(), shape=st.tuples(*[st.integers(1, 30)] * 3))
def test_another_shape_keeps_the_box(geometry: Geometry, shape: tuple[int, int, int]) -> None:
    other = geometry.with_shape(shape)
    assert other.shape == shape
    np.testing.assert_allclose(box_corners(other), box_corners(geometry), atol=1e-7)
    assert other.with_shape(geometry.shape).same_grid(geometry)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (1, float("nan"), 1)])
def test_an_impossible_spacing_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(GeometryError, match="not possible"):
        grid().with_spacing(spacing)


def moved(geometry: Geometry, shift: tuple[float, float, float]) -> Geometry:
    """Move a grid by voxels (Z, Y, X) of its own."""
    first = geometry.world(np.array(shift))
    return Geometry(geometry.size, geometry.spacing, tuple(first), geometry.direction)


@few
@given(geometry=geometries(), axis=st.integers(0, 2))
def test_same_grid_lets_a_thousandth_pass(geometry: Geometry, axis: int) -> None:
    part = min(geometry.spacing) / geometry.spacing_zyx[axis]

    def shift(by: float) -> tuple[float, float, float]:
        return tuple(by * part if i == axis else 0.0 for i in range(3))  # type: ignore[return-value]

    assert geometry.same_grid(geometry)
    assert geometry.same_grid(moved(geometry, shift(0.0005)))
    assert not geometry.same_grid(moved(geometry, shift(0.01)))


def test_one_thick_slice_is_not_one_thin_slice() -> None:
    thin = grid((1, 8, 8), spacing=(1, 1, 1))
    thick = Geometry(thin.size, (1, 1, 5), thin.origin, thin.direction)
    assert not thin.same_grid(thick)
    assert not thick.same_grid(thin)


def test_the_same_voxels_in_another_order_are_another_grid() -> None:
    geometry = grid((6, 6, 6), spacing=(1, 1, 1))
    assert not geometry.same_grid(geometry.reoriented(EVERY_ORDER[1]))


@few
@given(geometry=geometries(), axis=st.integers(0, 2), sign=st.sampled_from([-1, 1]))
def test_boxes_overlap_until_they_touch(geometry: Geometry, axis: int, sign: int) -> None:
    for part, expected in ((0.0, True), (0.99, True), (1.0, False), (1.5, False)):
        shift = [0.0, 0.0, 0.0]
        shift[axis] = sign * part * geometry.shape[axis]
        other = moved(geometry, tuple(shift))  # type: ignore[arg-type]
        assert geometry.overlaps(other) is expected
        assert other.overlaps(geometry) is expected


def test_a_small_box_in_a_large_one_overlaps_both_ways() -> None:
    large = grid((40, 40, 40), spacing=(1, 1, 1))
    inside = tuple(large.world(np.full(3, 20)))
    small = Geometry((2, 2, 2), (0.1, 0.1, 0.1), inside, large.direction)
    assert large.overlaps(small)
    assert small.overlaps(large)


TURN = tuple(Rotation.from_euler("x", 10, degrees=True).as_matrix().ravel())
SHEAR = (1.0, 0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": (0, 4, 4)}, "no voxels"),
        ({"size": (4, 4)}, "no voxels"),
        ({"spacing": (1, 0, 1)}, "not positive"),
        ({"spacing": (1, -1, 1)}, "not positive"),
        ({"spacing": (1, 1)}, "not a set of numbers"),
        ({"origin": (0, 0, float("nan"))}, "not a set of numbers"),
        ({"direction": SHEAR}, "right angles"),
        ({"direction": tuple(2 * v for v in TURN)}, "right angles"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(change: dict, words: str) -> None:
    values = {"size": (4, 4, 4), "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": TURN}
    Geometry(**values)
    with pytest.raises(GeometryError, match=words):
        Geometry(**(values | change))


def test_a_singular_affine_is_refused() -> None:
    with pytest.raises(GeometryError, match="singular"):
        Geometry.from_affine((2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]))


def test_what_a_person_reads() -> None:
    assert grid((300, 512, 512), spacing=(0.7654, 0.7654, 1)).describe() == (
        "512×512×300, 0.765×0.765×1 mm"
    )
    assert grid(spacing=(2, 5, 10)).voxel_volume_ml == pytest.approx(0.1)
