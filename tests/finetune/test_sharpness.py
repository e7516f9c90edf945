"""Blur and noise, found in images and given to others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from napari_hybridseg.finetune.sharpness import measure_sharpness, softening

SHAPE = (40, 44, 36)


def texture(seed: int) -> NDArray[np.float32]:
    """Give something with edges of every size, as images have, and hardly any noise."""
    random = np.random.default_rng(seed)
    total = sum(
        np.sign(gaussian_filter(random.normal(size=SHAPE), sigma)) * weight
        for sigma, weight in ((1, 0.3), (2, 0.5), (5, 1.0))
    )
    return (total / total.std()).astype(np.float32)


def noisy(image: NDArray[np.float32], deviation: float, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return (image + noise).astype(np.float32)


OLD = [texture(seed) for seed in range(4)]


@pytest.mark.parametrize("deviation", [0.1, 0.3])
def test_the_noise_of_blurred_images_is_found(deviation: float) -> None:
    new = [noisy(gaussian_filter(image, 1.5), deviation, 9) for image in OLD]
    assert measure_sharpness(new).noise ** 0.5 == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axis_that_is_blurred_is_softened(axis: int) -> None:
    new = [noisy(gaussian_filter1d(texture(seed), 1.0, axis=axis), 0.15, seed) for seed in (11, 12)]
    soften = softening(measure_sharpness(OLD), measure_sharpness(new))
    random = np.random.default_rng(0)
    clean = gaussian_filter1d(OLD[0], 1.0, axis=axis)
    softened = soften(OLD[0], random)
    left = softened - clean
    assert left.std() < 0.75 * (OLD[0] - clean).std()  # most of what is left is the noise
    assert left.std() == pytest.approx(0.15, abs=0.05)
    widths = [kernel[kernel.size // 2] for kernel in soften.kernels if kernel is not None]
    assert min(range(3), key=widths.__getitem__) == axis


def test_nothing_is_made_sharper() -> None:
    blurred = [gaussian_filter(image, 1.5) for image in OLD]
    soften = softening(measure_sharpness(blurred), measure_sharpness(OLD))
    for kernel in soften.kernels:
        assert kernel is not None
        np.testing.assert_allclose(kernel.sum(), 1)
        assert kernel[kernel.size // 2] > 0.95
    assert soften(blurred[0], np.random.default_rng(0), amount=0) == pytest.approx(blurred[0])


def test_an_axis_of_few_slices_is_left_alone() -> None:
    thin = [image[:4] for image in OLD]
    soften = softening(measure_sharpness(thin), measure_sharpness(thin))
    assert soften.kernels[0] is None
    assert np.isfinite(soften(thin[0], np.random.default_rng(0))).all()
    one = softening(measure_sharpness([OLD[0][:1, :4, :4]]), measure_sharpness(OLD))
    assert one.kernels == (None, None, None)


def test_an_image_of_one_value_is_no_trouble() -> None:
    flat = [np.ones(SHAPE, np.float32)]
    for old, new in ((flat, OLD), (OLD, flat), (flat, flat)):
        soften = softening(measure_sharpness(old), measure_sharpness(new))
        assert np.isfinite(soften(OLD[0], np.random.default_rng(0))).all()
