from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import EVERY_ORDER, grid, random_volume, stored
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.geometry import Reorientation
from napari_hybridseg.inference.preprocess import (
    finite_values,
    normalise,
    prepare,
    resample_linear,
    resample_nearest,
)
from napari_hybridseg.model_card import (
    ClipRescale,
    ClipStandardise,
    PercentileRescale,
    PercentileStandardise,
    Preprocessing,
    ZScore,
)
from napari_hybridseg.volume import Volume, VolumeError

ARRAY = np.random.default_rng(0).normal(50, 20, (2, 6, 7, 8)).astype(np.float32)
SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def test_z_score_is_per_channel() -> None:
    result = normalise(ARRAY, ZScore())
    assert result.dtype == np.float32
    for channel in result:
        assert channel.mean() == pytest.approx(0, abs=1e-6)
        assert channel.std() == pytest.approx(1, abs=1e-5)


def test_z_score_of_what_is_not_zero() -> None:
    array = ARRAY.copy()
    array[:, :3] = 0
    result = normalise(array, ZScore(nonzero_only=True))
    assert (result[:, :3] == 0).all()
    np.testing.assert_allclose(result[:, 3:].mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result[:, 3:].std(axis=(1, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize(
    "how",
    [ZScore(), ZScore(nonzero_only=True), PercentileRescale(), PercentileStandardise()],
)
@pytest.mark.parametrize("value", [0.0, 7.3])
def test_a_constant_volume_stays_a_number(how: ZScore, value: float) -> None:
    result = normalise(np.full((1, 4, 4, 4), value, np.float32), how)
    assert np.isfinite(result).all()
    assert np.abs(result).max() <= 1


def test_fixed_numbers() -> None:
    array = np.array([-2000, 0, 100, 3000], np.float32).reshape(1, 1, 1, 4)
    clipped = normalise(array, ClipStandardise(low=-100, high=300, mean=100, std=50))
    np.testing.assert_allclose(clipped.ravel(), [-4, -2, 0, 4])
    rescaled = normalise(array, ClipRescale(low=-100, high=300))
    np.testing.assert_allclose(rescaled.ravel(), [0, 0.25, 0.5, 1])
    assert clipped.dtype == rescaled.dtype == np.float32


def test_percentiles_of_the_volume() -> None:
    result = normalise(ARRAY, PercentileRescale(low=10, high=90))
    for before, after in zip(ARRAY, result, strict=True):
        low, high = np.percentile(before, [10, 90])
        expected = (np.clip(before, low, high) - low) / (high - low)
        np.testing.assert_allclose(after, expected, atol=1e-6)


def test_percentiles_of_the_volume_before_standardising() -> None:
    array = ARRAY.copy()
    array[0, 0, 0, 0] = 1e6  # a hot voxel must not set the spread
    result = normalise(array, PercentileStandardise(low=10, high=90))
    for before, after in zip(array, result, strict=True):
        clipped = np.clip(before, *np.percentile(before, [10, 90]))
        np.testing.assert_allclose(after, (clipped - clipped.mean()) / clipped.std(), atol=1e-4)
    assert result.dtype == np.float32


def test_values_that_are_no_numbers_become_the_lowest_of_their_channel() -> None:
    array = ARRAY.astype(np.float64)
    array[0, 0, 0, :3] = [np.nan, np.inf, -np.inf]
    array[1, 1, 1, 1] = 1e300
    values, notes = finite_values(array, "ct")
    assert values.dtype == np.float32
    lowest = [ARRAY[0][np.isfinite(array[0])].min(), np.delete(ARRAY[1].ravel(), 64).min()]
    assert (values[0, 0, 0, :3] == lowest[0]).all()
    assert values[1, 1, 1, 1] == lowest[1]
    assert notes[0].startswith("4 voxels of ct are NaN or infinite")
    assert np.isnan(array[0, 0, 0, 0])


def test_numbers_are_left_alone() -> None:
    values, notes = finite_values(ARRAY, "ct")
    np.testing.assert_array_equal(values, ARRAY)
    assert notes == ()
    assert not np.shares_memory(values, ARRAY)


@pytest.mark.parametrize(
    ("channels", "words"), [(1, "ct holds no numbers"), (2, "A channel of ct")]
)
def test_a_channel_without_numbers_is_refused(channels: int, words: str) -> None:
    array = np.zeros((channels, 2, 2, 2))
    array[-1] = np.nan
    with pytest.raises(VolumeError, match=words):
        finite_values(array, "ct")


@given(shape=SHAPES, there=SHAPES, channels=st.integers(1, 2))
def test_linear_is_torchs(shape: tuple, there: tuple, channels: int) -> None:
    array = np.random.default_rng(1).normal(size=(channels, *shape)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(array)[None], size=there, mode="trilinear"
    )[0]
    np.testing.assert_array_equal(resample_linear(array, there), expected.numpy())


@given(shape=SHAPES, there=SHAPES)
def test_nearest_is_torchs(shape: tuple, there: tuple) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(array.astype(np.float64))[None, None], size=there, mode="nearest-exact"
    )[0, 0]
    np.testing.assert_array_equal(resample_nearest(array, there), expected.numpy())


@pytest.mark.parametrize("orientation", ["LPS", "RAS"])
@pytest.mark.parametrize("order", EVERY_ORDER[::5], ids=str)
def test_the_network_sees_the_same_however_the_file_is_stored(
    orientation: str, order: Reorientation
) -> None:
    base = grid((5, 6, 7), angles=(5, 10, -15))
    array = np.random.default_rng(2).normal(size=(1, *base.shape)).astype(np.float32)
    how = Preprocessing(orientation=orientation, spacing=(1.2, 1.2, 1.2))
    one, other = (
        prepare(Volume.from_stored(stored(array, base, o)), how) for o in (EVERY_ORDER[0], order)
    )
    np.testing.assert_array_equal(one.array, other.array)
    assert one.working.same_grid(other.working, tolerance=1e-9)
    assert one.working.axis_codes == orientation


@pytest.mark.parametrize("order", EVERY_ORDER[::5], ids=str)
def test_as_stored_is_the_array_of_the_file(order: Reorientation) -> None:
    base = grid((5, 6, 7))
    image = stored(np.random.default_rng(2).normal(size=(1, *base.shape)), base, order)
    prepared = prepare(
        Volume.from_stored(image),
        Preprocessing(orientation="as-stored", intensity=ClipRescale(low=-2, high=2)),
    )
    expected = (np.clip(image.array.astype(np.float32), -2, 2) + 2) / 4
    np.testing.assert_allclose(prepared.array, expected, atol=1e-6)
    assert prepared.working.same_grid(image.geometry)


def test_a_spacing_is_reached_over_the_same_box() -> None:
    volume = random_volume((9, 12, 10), spacing=(1.0, 1.0, 3.0))
    prepared = prepare(volume, Preprocessing(spacing=(2.0, 1.0, 1.0)))
    assert prepared.working.size == (5, 12, 27)
    assert prepared.array.shape == (1, 27, 12, 5)
    assert prepared.working.spacing == pytest.approx((2.0, 1.0, 1.0))
    assert prepared.oriented.shape == (9, 12, 10)
    again = prepared.working.with_shape(prepared.oriented.shape)
    assert again.same_grid(prepared.oriented)


def test_the_change_leads_back() -> None:
    volume = random_volume((3, 4, 5))
    prepared = prepare(volume, Preprocessing(orientation="RAS", intensity=ZScore()))
    there = prepared.change.apply(volume.array)
    assert there.shape[1:] == prepared.oriented.shape
    np.testing.assert_array_equal(prepared.change.inverse().apply(there), volume.array)
