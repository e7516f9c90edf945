"""Windows as other scanners might have made them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandBiasFieldd,
    RandHistogramShiftd,
    RandSimulateLowResolutiond,
)
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.finetune.options import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.sharpness import Softening, measure_sharpness, softening
from napari_hybridseg.model_card import Intensity
from napari_hybridseg.older_python import zip

_OFF = ScannerAugmentation(transfer=0, negative=0, histogram=0, bias=0, low_resolution=0)
_QUANTILES = np.linspace(0, 1, 65)
_CLEARLY_BETTER = 0.1
_MEASURED = 6
_LEAST_SOFTENING = 0.5
_BIAS = 0.25  # of the logarithm: fields that differ by a factor of about two within a window


def choose_scanner(options: FineTuneOptions, intensity: Intensity) -> ScannerAugmentation:
    """Give the choice of the options, or what suits the card's normalisation.

    Where values mean something in themselves, as in CT, another contrast is no other scanner.
    """
    if options.scanner is not None:
        return options.scanner
    own = intensity.kind in ("z-score", "percentile-rescale", "percentile-standardise")
    return ScannerAugmentation() if own else _OFF


def is_turned_round(dice: float | None, dice_of_negative: float | None) -> bool:
    """Tell from the parent's Dice on cases and their negatives if the contrast is turned round."""
    return (dice_of_negative or 0.0) > (dice or 0.0) + _CLEARLY_BETTER


class LookTransfer:
    """Gives old images the look of new ones: their values, their blur along each axis, their noise.

    Values are exchanged quantile by quantile; blur and noise are measured on what that gives.

    Parameters
    ----------
    new, old : sequence of ndarray
        Images (C, Z, Y, X): what is wanted, and what is to be changed.
    turned : bool
        Whether what is dark in the old ones is bright in the new ones.
    """

    def __init__(
        self,
        new: Sequence[NDArray[np.float32]],
        old: Sequence[NDArray[np.float32]],
        turned: bool,
    ) -> None:
        self._turned = turned
        self._new = [quantiles(image) for image in new]
        self._soften: list[Softening] = []
        some = old[:_MEASURED]
        like_new = [
            self._with_values(image, quantiles(image), self._new[i % len(self._new)])
            for i, image in enumerate(some)
        ]
        for channel in range(len(new[0]) if some else 0):
            self._soften.append(
                softening(
                    measure_sharpness([image[channel] for image in like_new]),
                    measure_sharpness([image[channel] for image in new[:_MEASURED]]),
                )
            )

    def __call__(
        self, window: Tensor, old: NDArray[np.float64], random: np.random.Generator
    ) -> Tensor:
        """Bring a window (C, Z, Y, X) of an image with the quantiles ``old`` to the new look."""
        wanted = self._new[int(random.integers(len(self._new)))]
        values = self._with_values(window.numpy(), old, wanted)
        amount = random.uniform(_LEAST_SOFTENING, 1.0)
        channels = [
            soften(channel, random, amount)
            for soften, channel in zip(self._soften, values, strict=True)
        ]
        return torch.from_numpy(np.stack(channels))

    def _with_values(
        self, image: NDArray[np.float32], old: NDArray[np.float64], wanted: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        if self._turned:
            wanted = wanted[:, ::-1]
        return np.stack(
            [
                np.interp(channel, old[i], wanted[i]).astype(np.float32)
                for i, channel in enumerate(image)
            ]
        )


def quantiles(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the quantiles of each channel, (C, 65)."""
    flat = image.reshape(len(image), -1).astype(np.float64)
    found: NDArray[np.float64] = np.quantile(flat, _QUANTILES, axis=1).T
    return found


class OtherScanner:
    """Varies the values of windows (C, Z, Y, X); their mean and deviation stay as they are."""

    def __init__(self, options: ScannerAugmentation) -> None:
        self._negative = options.negative
        self._is_on = any(options.model_dump().values())
        self._vary = {2: _steps(options, "bilinear"), 3: _steps(options, "trilinear")}

    def __call__(
        self, window: Tensor, random: np.random.Generator, darkest: float | None = None
    ) -> Tensor:
        """Vary one window; a slice has one voxel along an axis.

        ``darkest`` is the value that a signal of nothing has, from which a bias field multiplies;
        the default is the window's least.
        """
        if not self._is_on:
            return window
        mean, spread = _moments(window)
        if random.random() < self._negative:
            window = 2 * mean - window
        least = float(window.min()) if darkest is None else darkest
        varied = self._varied(window - least, int(random.integers(2**31)))
        new_mean, new_spread = _moments(varied)
        result: Tensor = (varied - new_mean) / new_spread * spread + mean
        return result

    def _varied(self, window: Tensor, seed: int) -> Tensor:
        # a slice's third axis has one voxel, which cannot be sampled down
        flat = window.reshape(len(window), *(n for n in window.shape[1:] if n > 1))
        vary = self._vary[flat.ndim - 1]
        vary.set_random_state(seed=seed)
        varied = convert_to_tensor(vary({"image": flat})["image"], track_meta=False)
        result: Tensor = varied.reshape(window.shape)
        return result


def _steps(options: ScannerAugmentation, upsampling: str) -> Compose:
    image = ["image"]
    return Compose(
        [
            RandHistogramShiftd(image, num_control_points=(5, 10), prob=options.histogram),
            RandBiasFieldd(image, coeff_range=(-_BIAS, _BIAS), prob=options.bias),
            RandSimulateLowResolutiond(
                image,
                prob=options.low_resolution,
                upsample_mode=upsampling,
                zoom_range=(0.5, 1.0),
            ),
        ]
    )


def _moments(window: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(1, window.ndim))
    mean = window.mean(axes, keepdim=True)
    spread = window.std(axes, keepdim=True, unbiased=False)
    return mean, torch.clamp(spread, min=1e-6)
