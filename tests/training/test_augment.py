from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.training.augment import WindowSampler, cut_window
from napari_hybridseg.training.dataset import LoadedCase
from napari_hybridseg.training.options import Augmentation

STILL = Augmentation(probability=0, flip_axes=(), smooth=0)
SHAPE = (12, 16, 20)


def case(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> LoadedCase:
    """Give a case whose image says which channel is right: 10 times its number."""
    channels = np.zeros(shape, np.uint8)
    channels[1:4, 1:5, 1:6] = 1
    channels[-1, -1, -1] = 2
    image = channels[None] * 10.0 + seed
    return LoadedCase("x", image.astype(np.float32), channels)


@pytest.mark.parametrize("window", [(8, 8, 8), (1, 8, 8), (8, 1, 8), (16, 16, 16), (32, 8, 32)])
@pytest.mark.parametrize(
    "augmentation", [STILL, Augmentation(flip_axes=(0, 1, 2))], ids=["", "all"]
)
def test_a_batch_is_plain_tensors(window: tuple[int, int, int], augmentation: Augmentation) -> None:
    images, channels = WindowSampler([case()], window, 0.5, augmentation, 0).batch(0, 3)
    assert type(images) is type(channels) is torch.Tensor
    assert images.shape == channels.shape == (3, 1, *window)
    assert images.dtype == torch.float32
    assert channels.dtype == torch.int64
    assert set(channels.unique().tolist()) <= {0, 1, 2}


def test_the_same_seed_and_step_give_the_same_windows() -> None:
    def batch(seed: int, step: int, rank: int = 0) -> torch.Tensor:
        sampler = WindowSampler([case(), case(1)], (8, 8, 8), 0.5, Augmentation(), seed)
        return sampler.batch(step, 2, rank)[0]

    assert torch.equal(batch(1, 5), batch(1, 5))
    for other in (batch(2, 5), batch(1, 6), batch(1, 5, rank=1)):
        assert not torch.equal(batch(1, 5), other)


def test_windows_do_not_depend_on_those_before() -> None:
    sampler = WindowSampler([case()], (8, 8, 8), 0.5, Augmentation(), 0)
    first = sampler.batch(3, 2)[0]
    sampler.batch(4, 2)
    assert torch.equal(sampler.batch(3, 2)[0], first)


def test_image_and_channels_move_together() -> None:
    moving = Augmentation(
        probability=1,
        rotate=40,
        scale=0.3,
        flip_axes=(0, 1, 2),
        noise=0,
        brightness=0,
        contrast=0,
        smooth=0,
    )
    sampler = WindowSampler([case()], (8, 8, 8), 1.0, moving, 0)
    images, channels = sampler.batch(0, 8)
    assert (channels == 1).any()
    # away from the borders between organs the image still says which channel is right
    assert ((images / 10 - channels).abs() < 0.51).float().mean() > 0.97


def test_foreground_is_hit_as_often_as_wished() -> None:
    def hits(foreground: float) -> float:
        sampler = WindowSampler([case()], (3, 3, 3), foreground, STILL, 0)
        return (sampler.batch(0, 200)[1] > 0).flatten(1).any(dim=1).float().mean().item()

    assert hits(1.0) == 1.0
    assert hits(0.0) < 0.2
    assert 0.4 < hits(0.5) < 0.7


def test_organs_are_hit_alike_however_small() -> None:
    sampler = WindowSampler([case()], (3, 3, 3), 1.0, STILL, 0)
    channels = sampler.batch(0, 200)[1].flatten(1)
    assert 0.35 < (channels == 2).any(dim=1).float().mean() < 0.65


def test_a_case_without_organs_gives_windows_too() -> None:
    empty = LoadedCase("x", np.zeros((1, *SHAPE), np.float32), np.zeros(SHAPE, np.uint8))
    assert not WindowSampler([empty], (4, 4, 4), 1.0, STILL, 0).batch(0, 2)[1].any()


def test_smoothing_leaves_the_brightness_of_slices() -> None:
    flat = LoadedCase("x", np.full((1, *SHAPE), 100, np.float32), np.zeros(SHAPE, np.uint8))
    smooth = STILL.model_copy(update={"smooth": 1.0})
    sampler = WindowSampler([flat], (1, 12, 12), 0, smooth, 0)
    middle = torch.cat([sampler.batch(step, 1)[0][..., 6, 6] for step in range(30)])
    torch.testing.assert_close(middle, torch.full_like(middle, 100), rtol=0.01, atol=0)


@given(
    start=st.tuples(*[st.integers(-6, 6)] * 3),
    window=st.tuples(*[st.integers(1, 9)] * 3),
)
def test_a_window_is_filled_up_with_zeros(start: tuple, window: tuple) -> None:
    array = np.arange(1, 5 * 6 * 7 + 1).reshape(1, 5, 6, 7)
    large = np.pad(array, [(0, 0), *[(20, 20)] * 3])
    z, y, x = (slice(s + 20, s + 20 + w) for s, w in zip(start, window, strict=True))
    np.testing.assert_array_equal(cut_window(array, start, window), large[:, z, y, x])


def test_windows_reach_every_voxel() -> None:
    seen = np.zeros(SHAPE, bool)
    numbered = LoadedCase(
        "x",
        np.arange(np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE),
        np.zeros(SHAPE, np.uint8),
    )
    images, _ = WindowSampler([numbered], (6, 8, 8), 0, STILL, 0).batch(0, 400)
    seen.ravel()[images.long().unique().numpy()] = True
    assert seen.all()
