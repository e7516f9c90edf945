"""Our operations give what torch's give, for every size, and on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.inference.winograd import layout
from napari_hybridseg.inference.winograd.layout import (
    Workers,
    channels_first,
    channels_last,
    panelled,
)
from napari_hybridseg.inference.winograd.operations import (
    InstanceNorm,
    Operation,
    PointwiseConvolution,
    WinogradConvolution,
)
from napari_hybridseg.inference.winograd.row_convolutions import (
    StridedConvolution,
    TransposedConvolution,
)
from napari_hybridseg.inference.winograd.sampling import Sampler
from napari_hybridseg.networks.deformable import sample_by_level

ONE = Workers(1)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 11), st.integers(1, 11))
EIGHTS = st.sampled_from([8, 16, 24, 32, 40])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))


def weights(*shape: int) -> tuple[Tensor, Tensor]:
    """Give a kernel whose results are about one, and a bias."""
    scale = np.sqrt(np.prod(shape[1:]))
    return random(*shape, seed=1) / float(scale), random(shape[0], seed=2)


def check(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


@settings(max_examples=60)
@given(SIZES, EIGHTS, st.integers(8, 40), st.sampled_from([(3, 3, 3), (1, 3, 3)]))
def test_winograds_convolution(
    size: tuple[int, int, int], channels: int, features: int, taps: tuple[int, int, int]
) -> None:
    image, (weight, bias) = random(1, channels, *size), weights(features, channels, *taps)
    if not WinogradConvolution.takes(weight.numpy()):
        assert -(-features // 8) * 8 > 1.25 * features
        return
    found = WinogradConvolution(weight.numpy(), bias.numpy(), size[0], ONE)(image)
    check(found, functional.conv3d(image, weight, bias, padding=[tap // 2 for tap in taps]))


@settings(max_examples=20)
@given(st.tuples(st.integers(1, 14), st.integers(1, 14)), EIGHTS, EIGHTS)
def test_winograds_convolution_of_a_slice(
    size: tuple[int, int], channels: int, features: int
) -> None:
    image, (weight, _) = random(1, channels, *size), weights(features, channels, 3, 3)
    found = WinogradConvolution(weight.numpy(), None, 1, ONE)(image)
    check(found, functional.conv2d(image, weight, padding=1))


def test_winograd_takes_no_other_taps_nor_odd_channels() -> None:
    for shape in ((8, 8, 3, 3, 1), (8, 8, 5, 5, 5), (8, 6, 3, 3, 3), (3, 8, 3, 3, 3), (8, 8, 1, 1)):
        assert not WinogradConvolution.takes(np.zeros(shape, np.float32)), shape
    assert WinogradConvolution.takes(np.zeros((36, 8, 3, 3, 3), np.float32))


def test_the_memory_of_filters_is_known_before() -> None:
    weight = np.zeros((36, 8, 3, 3, 3), np.float32)
    for planes in (2, 8):
        held = WinogradConvolution(weight, None, planes, ONE)._filters.nbytes
        assert WinogradConvolution.filter_bytes(weight, planes) == held


@settings(max_examples=30)
@given(SIZES, st.integers(1, 40), st.integers(1, 40))
def test_a_convolution_with_one_tap(
    size: tuple[int, int, int], channels: int, features: int
) -> None:
    image, (weight, bias) = random(1, channels, *size), weights(features, channels, 1, 1, 1)
    found = PointwiseConvolution(weight.numpy(), bias.numpy(), ONE)(image)
    check(found, functional.conv3d(image, weight, bias))


@settings(max_examples=60)
@given(st.data())
def test_a_convolution_with_strides(data: st.DataObject) -> None:
    axes = data.draw(st.integers(2, 3))
    along = st.tuples(*[st.integers(1, 4)] * axes)
    taps, stride = data.draw(along), data.draw(along)
    padding = [data.draw(st.integers(0, tap - 1)) for tap in taps]
    size = [data.draw(st.integers(tap, 9)) for tap in taps]
    channels, features = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 20))
    image, (weight, bias) = random(1, channels, *size), weights(features, channels, *taps)
    found = StridedConvolution(weight.numpy(), bias.numpy(), stride, padding, ONE)(image)
    torchs = functional.conv2d if axes == 2 else functional.conv3d
    check(found, torchs(image, weight, bias, stride, padding))


@settings(max_examples=80)
@given(st.data())
def test_a_transposed_convolution(data: st.DataObject) -> None:
    axes = data.draw(st.integers(2, 3))
    stride = data.draw(st.tuples(*[st.integers(1, 3)] * axes))
    taps = [data.draw(st.integers(step, 4)) for step in stride]
    padding = [data.draw(st.integers(0, tap - 1)) for tap in taps]
    more = [data.draw(st.integers(0, step - 1)) for step in stride]
    size = [
        data.draw(st.integers(max(1, -(-(2 * p - k + 1) // s) + 1), 6))
        for p, k, s in zip(padding, taps, stride, strict=True)
    ]
    channels, features = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 20))
    image = random(1, channels, *size)
    weight, bias = random(channels, features, *taps, seed=1), random(features, seed=2)
    ours = TransposedConvolution(weight.numpy(), bias.numpy(), stride, padding, more, ONE)
    torchs = functional.conv_transpose2d if axes == 2 else functional.conv_transpose3d
    check(ours(image), torchs(image, weight, bias, stride, padding, more))


@settings(max_examples=30)
@given(SIZES, st.integers(1, 70), st.sampled_from([None, 0.0, 0.2]), st.booleans())
def test_an_instance_norm_with_what_follows(
    size: tuple[int, int, int], channels: int, slope: float | None, overwrite: bool
) -> None:
    if size == (1, 1, 1):
        return  # torch refuses one voxel
    image = random(1, channels, *size) * 3 + 1000 * random(1, channels, 1, 1, 1, seed=3)
    weight, bias = random(channels, seed=1), random(channels, seed=2)
    slopes = None if slope is None else np.full(channels, slope, np.float32)
    expected = functional.instance_norm(
        image.double(), weight=weight.double(), bias=bias.double(), eps=1e-5
    )
    if slope is not None:
        expected = functional.leaky_relu(expected, slope)
    before = image.clone()
    ours = InstanceNorm(weight.numpy(), bias.numpy(), 1e-5, slopes, overwrite, ONE)
    # a thousand standard deviations off zero, float32 itself knows no more than four digits
    torch.testing.assert_close(ours(image).double(), expected, atol=2e-3, rtol=1e-3)
    assert overwrite or torch.equal(image, before)


@pytest.mark.parametrize("wide", [True, False])
def test_threads_and_short_vectors_change_nothing(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wide:  # a processor with vectors of eight
        monkeypatch.setattr(layout, "WIDE", False)
    monkeypatch.setattr(layout, "_WORTH_A_THREAD", 1)
    image = random(1, 16, 7, 18, 13)
    deep, (weight, bias) = random(16, 48, 2, 2, 2), weights(48, 16, 3, 3, 3)
    pointwise = weight[:, :, :1, :1, :1].contiguous()
    many = Workers(3)

    def operations(workers: Workers) -> list[Operation]:
        w, b = weight.numpy(), bias.numpy()
        return [
            WinogradConvolution(w, b, 7, workers),
            PointwiseConvolution(pointwise.numpy(), b, workers),
            StridedConvolution(w, b, (2, 2, 2), (1, 1, 1), workers),
            TransposedConvolution(deep.numpy(), b, (2, 2, 2), (0, 0, 0), (0, 0, 0), workers),
            InstanceNorm(None, None, 1e-5, None, False, workers),
        ]

    for one, other in zip(operations(ONE), operations(many), strict=True):
        torch.testing.assert_close(other(image), one(image), atol=1e-5, rtol=1e-5)


def test_one_voxel_leaves_nothing_to_some_threads() -> None:
    """Without output padding, a stride's second place has no voxel there."""
    image, weight = random(1, 8, 1, 1, 1), random(8, 8, 3, 3, 3, seed=1)
    ours = TransposedConvolution(weight.numpy(), None, (2,) * 3, (1,) * 3, (0,) * 3, Workers(2))
    check(ours(image), functional.conv_transpose3d(image, weight, None, 2, 1))


def test_a_norm_keeps_its_digits_where_one_voxel_is_far_from_the_others() -> None:
    image = 7 + 1e-3 * random(1, 8, 12, 13, 14)
    image[..., 0, 0, 0] = 100
    expected = functional.instance_norm(image.double())
    found = InstanceNorm(None, None, 1e-5, None, False, ONE)(image)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)


def test_an_error_in_a_thread_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_WORTH_A_THREAD", 1)

    def fail(first: int, last: int, worker: int) -> None:
        if worker:
            raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        Workers(2).split(10, 10, fail)


@settings(max_examples=30)
@given(SIZES, st.integers(1, 20), st.integers(0, 2))
def test_channels_move_to_the_end_and_back(
    size: tuple[int, int, int], channels: int, more: int
) -> None:
    image = random(1, channels + more, *size)
    numbers = channels_last(image)
    np.testing.assert_array_equal(numbers, image.movedim(1, -1).numpy().ravel())
    last = torch.from_numpy(numbers.reshape(1, *size, -1)).movedim(-1, 1)[:, :channels]
    found = channels_first(last, ONE)
    assert found.is_contiguous()
    assert torch.equal(found, image[:, :channels])


def test_a_voxel_that_stands_for_all_and_a_batch_are_moved_too() -> None:
    one = random(1, 1, 1, 1, 5).movedim(-1, 1).expand(1, 5, 2, 3, 4)
    two = random(2, 3, 4, 5, 6).movedim(-1, 1)
    for image in (one, two):
        assert torch.equal(channels_first(image, ONE), image)


def test_panels_are_two_vectors_wide_then_one() -> None:
    matrix = np.arange(2 * 40, dtype=np.float32).reshape(2, 40)
    expected = [*matrix[0, :16], *matrix[1, :16], *matrix[0, 16:32], *matrix[1, 16:32]]
    assert panelled(matrix, 8).tolist() == [*expected, *matrix[0, 32:], *matrix[1, 32:]]


@settings(max_examples=30)
@given(st.sampled_from([3, 8, 16]), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
def test_sampling(channels: int, heads: int, points: int, queries: int) -> None:
    shapes = ((2, 3, 4), (1, 2, 5))
    value = random(1, 34, heads, channels)
    locations = torch.rand(1, queries, heads, 2, points, 3) * 1.6 - 0.3  # some outside
    weights = random(1, queries, heads, 2, points)
    sizes = [length for shape in shapes for length in shape]
    found = Sampler(sizes, ONE)(value, locations, weights)
    check(found, sample_by_level(value, shapes, locations, weights))


def test_sampling_at_no_number_gives_none() -> None:
    value, weights = random(1, 24, 1, 8), random(1, 2, 1, 1, 1)
    locations = torch.full((1, 2, 1, 1, 1, 3), 0.5)
    locations[0, 1, 0, 0, 0, 1] = torch.nan
    found = Sampler([2, 3, 4], ONE)(value, locations, weights)
    assert found[0, 0].isfinite().all()
    assert found[0, 1].isnan().all()
