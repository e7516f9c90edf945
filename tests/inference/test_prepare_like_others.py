"""Preprocessing that other people's weights need: axes, crops, shapes, cubic splines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import RegionDone
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.cubic import resample_cubic, thick_axis
from napari_hybridseg.inference.preprocess import normalise, prepare, resample_linear
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import (
    AsIs,
    ClipRescale,
    ModelCard,
    PerChannel,
    Preprocessing,
    WindowDefaults,
    ZScore,
)
from napari_hybridseg.volume import Volume, VolumeError


def volume(array, spacing=(1.0, 2.0, 3.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    array = np.asarray(array, dtype=np.float32)
    stored = array if array.ndim == 4 else array[None]
    grid = Geometry(stored.shape[:0:-1], spacing, (10.0, 20.0, 30.0), direction)
    return Volume.from_stored(StoredImage(array=stored, geometry=grid))


def ramp(*shape):
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "as-stored"])
def test_axes_are_reordered_and_come_back(axes, orientation):
    turned = (0, 0, -1, 1, 0, 0, 0, -1, 0)
    image = volume(ramp(3, 4, 5), direction=turned)
    plain = prepare(image, Preprocessing(orientation=orientation, intensity=AsIs()))
    prepared = prepare(image, Preprocessing(orientation=orientation, axes=axes, intensity=AsIs()))
    np.testing.assert_array_equal(prepared.array[0], plain.array[0].transpose(axes))
    back = prepared.change.inverse().apply(prepared.array)
    np.testing.assert_array_equal(back, image.array)
    assert prepared.oriented.shape == prepared.array.shape[1:]
    index = np.array([1.0, 2.0, 2.0])
    np.testing.assert_allclose(
        prepared.oriented.world(index[list(axes)]), plain.oriented.world(index)
    )


def test_as_stored_is_the_files_own_order():
    stored = ramp(3, 4, 5)
    image = volume(stored, direction=(0, 0, -1, 1, 0, 0, 0, -1, 0))
    prepared = prepare(image, Preprocessing(orientation="as-stored", intensity=AsIs()))
    np.testing.assert_array_equal(prepared.array[0], stored)


def test_spacing_is_of_the_orientation_whatever_the_axes():
    wish = {"orientation": "LPS", "spacing": (0.5, None, 1.5), "intensity": AsIs()}
    plain = prepare(volume(ramp(3, 4, 5)), Preprocessing(**wish))
    turned = prepare(volume(ramp(3, 4, 5)), Preprocessing(axes=(2, 0, 1), **wish))
    assert plain.working.shape == (6, 4, 10)
    assert turned.working.shape == (10, 6, 4)
    assert plain.working.spacing == pytest.approx((0.5, 2.0, 1.5))


def test_shape_instead_of_spacing():
    how = Preprocessing(shape=(None, 8, 10), intensity=AsIs())
    prepared = prepare(volume(ramp(3, 4, 5)), how)
    assert prepared.array.shape == (1, 3, 8, 10)


def test_crop_holds_what_is_not_zero_in_any_channel():
    array = np.zeros((2, 6, 7, 8))
    array[0, 1:4, 2:5, 3:7] = ramp(3, 3, 4)
    array[1, 2:5, 2, 3] = 5
    prepared = prepare(volume(array), Preprocessing(crop_to_nonzero=True, intensity=AsIs()))
    assert prepared.box == (slice(1, 5), slice(2, 5), slice(3, 7))
    np.testing.assert_array_equal(prepared.array, array[:, 1:5, 2:5, 3:7])
    np.testing.assert_allclose(
        prepared.working.world(np.zeros(3)), prepared.oriented.world(np.array([1.0, 2.0, 3.0]))
    )


def test_crop_of_nothing_is_everything():
    prepared = prepare(volume(np.zeros((3, 4, 5))), Preprocessing(crop_to_nonzero=True))
    assert prepared.array.shape == (1, 3, 4, 5)


def test_cubic_normalises_before_it_resamples():
    rng = np.random.default_rng(0)
    image = volume(rng.normal(size=(6, 8, 8)) * 100)
    cut = ClipRescale(low=-50, high=50)
    how = Preprocessing(spacing=(0.7, 1.5, 2.5), interpolation="cubic", intensity=cut)
    prepared = prepare(image, how)
    first = normalise(image.array, cut)
    expected = resample_cubic(first, prepared.working.shape, (3, 2, 1), (2.5, 1.5, 0.7))
    np.testing.assert_array_equal(prepared.array, expected)


def test_cubic_takes_the_nearest_of_thick_slices():
    array = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    result = resample_cubic(array, (8, 8, 8), (5, 1, 1), (2.5, 1, 1))
    np.testing.assert_allclose(result[:, ::2], array, atol=1e-6)
    np.testing.assert_allclose(result[:, 1::2], array, atol=1e-6)


def test_cubic_follows_a_smooth_function_better_than_a_line():
    def wave(count):
        return np.sin((np.arange(count) + 0.5) / count * 2 * np.pi)

    coarse = np.broadcast_to(wave(12), (1, 4, 4, 12)).astype(np.float32)
    # values stay within the image's own, which cuts the peaks off
    inside = np.abs(wave(36)) < 0.95
    inside[:9] = inside[-9:] = False
    cubic, linear = (
        np.abs(result[0, 2, 2] - wave(36))[inside].max()
        for result in (
            resample_cubic(coarse, (4, 4, 36), (1, 1, 1), (1, 1, 1 / 3)),
            resample_linear(coarse, (4, 4, 36)),
        )
    )
    assert cubic < 2e-3 < linear


@pytest.mark.parametrize(
    ("own", "wished", "expected"),
    [
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 1, 4), 2),
        ((3, 1, 1), (3, 1, 1), None),
        ((0.24, 1.25, 1.25), (1, 1, 1), None),
    ],
)
def test_which_slices_are_thick(own, wished, expected):
    assert thick_axis(own, wished) == expected


def test_a_mask_says_what_counts_as_not_zero():
    channel = np.array([[[[0, 2, 0, 4]]]], dtype=np.float32)
    mask = np.array([[[False, True, True, True]]])
    result = normalise(channel, ZScore(nonzero_only=True), mask)
    inside = channel[0][mask]
    np.testing.assert_allclose(result[0][mask], (inside - inside.mean()) / inside.std(), rtol=1e-6)
    assert result[0, 0, 0, 0] == 0


def test_each_channel_its_own_way():
    array = ramp(2, 1, 2, 2)
    how = PerChannel(channels=(AsIs(), ClipRescale(low=0, high=10)))
    result = normalise(array, how)
    np.testing.assert_array_equal(result[0], array[0])
    np.testing.assert_allclose(result[1], array[1] / 10)
    with pytest.raises(VolumeError, match="how to treat 2 channels, and the volume has 1"):
        normalise(array[:1], how)


@pytest.mark.parametrize(
    "wrong", [{"axes": (0, 0, 1)}, {"spacing": (1, 1, 1), "shape": (None, 2, 2)}]
)
def test_preprocessing_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=r"axes names each|not both"):
        Preprocessing(**wrong)


class Sign(nn.Module):
    """Calls a voxel above 0 an organ."""

    def forward(self, windows):
        return torch.cat([torch.zeros_like(windows), windows], dim=1)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_labels_come_back_from_crops_and_axes(axes):
    array = np.zeros((7, 8, 9), dtype=np.float32)
    array[2:6, 1:5, 3:8] = np.random.default_rng(0).normal(size=(4, 4, 5))
    image = volume(array, direction=(0, 0, -1, 1, 0, 0, 0, -1, 0))
    card = ModelCard(
        name="sign",
        architecture="unet",
        labels=LabelScheme.from_names({4: "above"}),
        preprocessing=Preprocessing(
            orientation="RAS", axes=axes, crop_to_nonzero=True, intensity=AsIs()
        ),
        windows=WindowDefaults(size=(2, 3, 4)),
    )
    events = list(
        segment(image, Checkpoint(Path("none"), card), SegmentOptions(device="cpu"), network=Sign())
    )
    labels = events[-1].value.array
    np.testing.assert_array_equal(labels, np.where(image.array[0] > 0, 4, 0))
    pieces = np.zeros_like(labels)
    for event in events:
        if isinstance(event, RegionDone):
            place = zip(event.start, event.labels.shape, strict=True)
            pieces[tuple(slice(start, start + n) for start, n in place)] = event.labels
    np.testing.assert_array_equal(pieces, labels)
