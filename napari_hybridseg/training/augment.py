"""Training windows: where they are cut, and how they are varied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
)
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.older_python import zip
from napari_hybridseg.training.dataset import LoadedCase
from napari_hybridseg.training.options import Augmentation

Shape = tuple[int, int, int]
_BOTH = ("image", "channels")


class WindowSampler:
    """Cuts windows from cases and varies them, the same ones for the same seed and step.

    Parameters
    ----------
    cases : sequence of LoadedCase
        What is learnt from.
    window : tuple of int
        Voxels (Z, Y, X); 1 along an axis makes slices.
    foreground : float
        The part of the windows that is centred on a voxel of an organ.
    augmentation : Augmentation
        How far they are varied.
    seed : int
        Of everything random.
    """

    def __init__(
        self,
        cases: Sequence[LoadedCase],
        window: Shape,
        foreground: float,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._cases = cases
        self._window = window
        self._foreground = foreground
        self._seed = seed
        self._vary = augmentation_transform(augmentation, window)
        self._organ_voxels = [_voxels_by_organ(case.channels) for case in cases]

    def batch(self, step: int, size: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Give the windows of a step: images (N, C, Z, Y, X) and channels (N, 1, Z, Y, X)."""
        random = np.random.default_rng([self._seed, step, rank])
        self._vary.set_random_state(seed=int(random.integers(2**31)))
        varied = [self._vary(self._cut(random)) for _ in range(size)]
        images, channels = (
            torch.stack([convert_to_tensor(v[key], track_meta=False) for v in varied])
            for key in _BOTH
        )
        return images.float(), channels.round().long()

    def _cut(self, random: np.random.Generator) -> dict[str, Tensor]:
        number = int(random.integers(len(self._cases)))
        case = self._cases[number]
        shape = case.channels.shape
        centre = np.array([random.integers(n) for n in shape])
        organs = self._organ_voxels[number]
        if organs and random.random() < self._foreground:
            voxels = organs[int(random.integers(len(organs)))]
            centre = np.array(np.unravel_index(voxels[int(random.integers(len(voxels)))], shape))
        start = [
            _start(int(c), n, w, random)
            for c, n, w in zip(centre, shape, self._window, strict=True)
        ]
        return {
            "image": torch.from_numpy(cut_window(case.image, start, self._window)),
            "channels": torch.from_numpy(
                cut_window(case.channels[None], start, self._window).astype(np.float32)
            ),
        }


def augmentation_transform(options: Augmentation, window: Shape) -> Compose:
    """Build the MONAI transform that varies a window."""
    flat = [axis for axis, size in enumerate(window) if size == 1]
    angle = np.deg2rad(options.rotate)
    turn = [angle] * 3 if not flat else [angle if axis in flat else 0.0 for axis in range(3)]
    zoom = [0.0 if axis in flat else options.scale for axis in range(3)]
    blur = [(0.0, 0.0) if axis in flat else (0.25, max(options.smooth, 0.26)) for axis in range(3)]
    p = options.probability
    steps = [
        RandAffined(
            _BOTH,
            prob=p if options.rotate or options.scale else 0.0,
            rotate_range=turn,
            scale_range=zoom,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        *(RandFlipd(_BOTH, prob=0.5, spatial_axis=axis) for axis in options.flip_axes),
        RandGaussianSmoothd(
            ["image"],
            prob=0.2 if options.smooth else 0.0,
            sigma_x=blur[0],
            sigma_y=blur[1],
            sigma_z=blur[2],
        ),
        RandScaleIntensityd(["image"], factors=options.brightness, prob=p),
        RandAdjustContrastd(
            ["image"],
            prob=p if options.contrast else 0.0,
            gamma=(1 - min(options.contrast, 0.9), 1 + options.contrast),
            retain_stats=True,
        ),
        RandGaussianNoised(["image"], prob=p if options.noise else 0.0, std=options.noise),
    ]
    return Compose(steps)


def cut_window(array: NDArray, start: Sequence[int], window: Shape) -> NDArray:
    """Cut a window out of (C, Z, Y, X); what lies outside the array is 0."""
    result = np.zeros((array.shape[0], *window), dtype=array.dtype)
    inside, place = [], []
    for s, w, n in zip(start, window, array.shape[1:], strict=True):
        low = min(max(s, 0), n)
        high = max(min(s + w, n), low)
        inside.append(slice(low, high))
        place.append(slice(low - s, high - s))
    result[(slice(None), *place)] = array[(slice(None), *inside)]
    return result


def _start(centre: int, length: int, window: int, random: np.random.Generator) -> int:
    if window >= length:  # the whole axis fits: shift it about inside the window
        return -int(random.integers(window - length + 1))
    jitter = int(random.integers(-(window // 4), window // 4 + 1))
    return int(np.clip(centre + jitter - window // 2, 0, length - window))


def _voxels_by_organ(channels: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    flat = channels.ravel()
    return [np.flatnonzero(flat == channel) for channel in np.unique(flat) if channel]
