"""How sharp and how noisy images are along each axis, and windows made to look so.

An image that another scanner made is blurred by it, along some axes more than along others, and
noise comes on top. Both show in the power of the frequencies along an axis, averaged over all
lines of voxels: blur takes from the high ones what noise, which has the same power at all, puts
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

_FREQUENCIES = np.linspace(0, 0.5, 17)  # cycles per voxel
_HALF_WIDTH = 6
_SHORTEST_LINE = 8
_LARGEST_SAMPLE = 96
_LOW = slice(1, 4)


@dataclass(frozen=True)
class Sharpness:
    """The power of the frequencies 0 ... 0.5 per voxel, (3, 17) for Z, Y, X.

    ``long_enough`` says along which axes there were voxels enough to tell.
    """

    power: NDArray[np.float64]
    long_enough: tuple[bool, bool, bool]

    @property
    def noise(self) -> float:
        """The variance of noise that there can be at most: the power where there is least."""
        known = self.power[list(self.long_enough), 1:]
        return float(known.min()) if known.size else 0.0


@dataclass(frozen=True)
class Softening:
    """What makes an image look as another: a kernel for each axis, then noise."""

    kernels: tuple[
        NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None
    ]
    deviation: float

    def __call__(
        self, window: NDArray[np.float32], random: np.random.Generator, amount: float = 1.0
    ) -> NDArray[np.float32]:
        """Soften a window (Z, Y, X); with ``amount`` 0 it stays as it is."""
        soft = window
        for axis, kernel in enumerate(self.kernels):
            if kernel is not None and window.shape[axis] > 1:
                soft = correlate1d(soft, kernel, axis=axis, mode="nearest")
        soft = window + np.float32(amount) * (soft - window)
        noise = random.standard_normal(window.shape, dtype=np.float32)
        return soft + np.float32(amount * self.deviation) * noise


def measure_sharpness(images: Sequence[NDArray[np.float32]]) -> Sharpness:
    """Measure images (Z, Y, X), of large ones the middle."""
    total = np.zeros((3, _FREQUENCIES.size))
    long_enough = [True, True, True]
    for image in images:
        middle = _middle(image)
        for axis, length in enumerate(middle.shape):
            if length < _SHORTEST_LINE:
                long_enough[axis] = False
            else:
                total[axis] += _power(np.moveaxis(middle, axis, -1))
    z, y, x = long_enough
    return Sharpness(total / max(len(images), 1), (z, y, x))


def softening(old: Sharpness, new: Sharpness) -> Softening:
    """Say what brings images as sharp as ``old`` to ``new``; nothing makes them sharper."""
    gains = [_gain(old, new, axis) for axis in range(3)]
    left = min(
        (
            float((gain**2 * old.power[axis])[1:].min())
            for axis, gain in enumerate(gains)
            if gain is not None
        ),
        default=0.0,
    )
    z, y, x = (None if gain is None else _kernel(gain) for gain in gains)
    return Softening((z, y, x), float(np.sqrt(max(new.noise - left, 0.0))))


def _gain(old: Sharpness, new: Sharpness, axis: int) -> NDArray[np.float64] | None:
    """Give how much of each frequency is left, which is never more than of a lower one."""
    if not (old.long_enough[axis] and new.long_enough[axis]):
        return None
    signal = np.maximum(new.power[axis] - new.noise, 0.0)
    ratio = signal / np.maximum(old.power[axis], 1e-12)
    ratio /= max(float(ratio[_LOW].mean()), 1e-12)
    ratio[: _LOW.stop] = 1.0
    falling: NDArray[np.float64] = np.sqrt(np.minimum.accumulate(np.minimum(ratio, 1.0)))
    return falling


def _kernel(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the gains of frequencies into a symmetric kernel whose sum is 1."""
    fine = np.interp(np.linspace(0, 0.5, 129), _FREQUENCIES, gain)
    long = np.fft.fftshift(np.fft.irfft(fine, 256))
    middle = long[128 - _HALF_WIDTH : 129 + _HALF_WIDTH] * np.hanning(2 * _HALF_WIDTH + 3)[1:-1]
    kernel: NDArray[np.float64] = middle / middle.sum()
    return kernel


def _power(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the power of all lines (..., N), brought to common frequencies."""
    length = lines.shape[-1]
    taper = np.hanning(length + 2)[1:-1]
    centred = lines - lines.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * taper, axis=-1)) ** 2
    mean = power.reshape(-1, power.shape[-1]).mean(axis=0) / (taper**2).sum()
    common: NDArray[np.float64] = np.interp(_FREQUENCIES, np.fft.rfftfreq(length), mean)
    return common


def _middle(image: NDArray[np.float32]) -> NDArray[np.float64]:
    box = tuple(
        slice(max((n - _LARGEST_SAMPLE) // 2, 0), (n + _LARGEST_SAMPLE) // 2 + 1)
        for n in image.shape
    )
    return image[box].astype(np.float64)
