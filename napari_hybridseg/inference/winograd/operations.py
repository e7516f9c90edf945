"""Operations on one image whose channels lie beside one another, by the compiled loops.

Each is made once from weights, and then called with a float32 tensor (1, C, Z, Y, X) or, for the
network of a slice, (1, C, Y, X); it gives a new tensor of the same kind, channels last in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from napari_hybridseg.inference.winograd import _compiled, _passes
from napari_hybridseg.inference.winograd._vectors import ROWS_OF_ONE, ROWS_OF_TWO
from napari_hybridseg.inference.winograd.layout import (
    Floats,
    Workers,
    as_tensor,
    channels_last,
    empty,
    lanes_of,
    narrowed,
    padded_bias,
    panelled,
    rounded,
    three,
)
from napari_hybridseg.inference.winograd.matrices import KINDS, tile_for, transformed_filters
from napari_hybridseg.older_python import zip

# what the tiles that are transformed together may take of the second cache, in bytes
_CACHE = 400_000
_MOST_TILES = 48
# how much wider than wished an operation may be made to fill vectors
_MOST_PADDING = 1.25
# values in a row of a pass over an image
_ROW = 512
# voxels that tell about where the numbers of a channel lie
_SAMPLES = 64


class Operation:
    """What stands in a graph for operations of torch: something that is called with tensors."""

    __call__: Callable[..., Tensor]
    # torch's graphs want one of a function
    __name__ = "operation"


class WinogradConvolution(Operation):
    """A convolution with 3x3x3, 1x3x3 or 3x3 taps, stride one, and zeros around the image.

    Parameters
    ----------
    weight : array (C_out, C_in, [kz,] ky, kx)
        One that ``takes`` says yes to.
    bias : array (C_out,) or None
        What is added.
    planes : int
        How many voxels images have along Z.
    workers : Workers
        What it runs on.
    """

    def __init__(self, weight: Floats, bias: Floats | None, planes: int, workers: Workers) -> None:
        self._features, self._channels = weight.shape[:2]
        taps = three(weight.shape[2:])
        self._wide = rounded(self._features)
        self._lanes = lanes_of(self._wide, self._channels)
        tile = tile_for(taps, planes)
        assert tile is not None
        self._kind, self._tile = KINDS.index(tile), tile
        full = np.zeros((self._wide, self._channels, *taps), np.float32)
        full[: self._features] = weight.reshape(-1, self._channels, *taps)
        self._filters = panelled(transformed_filters(full, self._tile), self._lanes)
        self._bias = padded_bias(bias, self._wide)
        self._nothing = np.zeros(self._wide, np.float32)
        self._workers = workers
        self._products = prod(axis.inputs for axis in self._tile)
        two = self._wide >= 2 * self._lanes
        rows = ROWS_OF_TWO if two else ROWS_OF_ONE
        fit = _CACHE // (4 * self._products * (self._channels + self._wide))
        self._at_once = int(np.clip(fit // rows, 1, _MOST_TILES // rows)) * rows

    @staticmethod
    def takes(weight: Floats) -> bool:
        """Say whether a convolution with these taps and channels is one for this."""
        features, channels = weight.shape[:2]
        little_more = rounded(features) <= features * _MOST_PADDING
        return bool(tile_for(three(weight.shape[2:]), 1)) and channels % 8 == 0 and little_more

    @staticmethod
    def filter_bytes(weight: Floats, planes: int) -> int:
        """Give the memory that the transformed filters take."""
        tile = tile_for(three(weight.shape[2:]), planes)
        products = prod(axis.inputs for axis in tile or ())
        return 4 * products * rounded(weight.shape[0]) * weight.shape[1]

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve an image (1, C, [Z,] Y, X)."""
        given = channels_last(image)
        size = three(image.shape[2:])
        found, out = empty(self._wide, image.shape[2:])
        tiles = prod(-(-n // axis.outputs) for n, axis in zip(size, self._tile, strict=True))

        def part(first: int, last: int, worker: int) -> None:
            room = self._at_once
            left = self._room("inputs", worker, room * self._channels + 16)
            products = self._room("products", worker, room * self._wide + 16)
            edge = self._room("edge", worker, max(self._channels, self._wide))
            _compiled.convolve(
                given, *size, self._channels, self._filters, self._bias, out, self._wide,
                self._kind, self._lanes, first, last, room, left, products, edge, self._nothing,
            )  # fmt: skip

        self._workers.split(tiles, self._products * self._wide, part)
        return narrowed(found, self._features)

    def _room(self, purpose: str, worker: int, each: int) -> Floats:
        return self._workers.memory(purpose, worker, self._products * each)


class PointwiseConvolution(Operation):
    """A convolution with one tap: a product of the voxels' channels with a matrix.

    Parameters
    ----------
    weight : array (C_out, C_in, 1, ...)
        Its kernel.
    bias : array (C_out,) or None
        What is added.
    workers : Workers
        What it runs on.
    """

    def __init__(self, weight: Floats, bias: Floats | None, workers: Workers) -> None:
        self._features, self._channels = weight.shape[:2]
        self._wide = rounded(self._features)
        self._lanes = lanes_of(self._wide)
        matrix = np.zeros((self._channels, self._wide), np.float32)
        matrix[:, : self._features] = weight.reshape(self._features, self._channels).T
        self._matrix = panelled(matrix, self._lanes)
        self._bias = padded_bias(bias, self._wide)
        self._workers = workers

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve an image (1, C, ...)."""
        given = channels_last(image)
        found, out = empty(self._wide, image.shape[2:])

        def part(first: int, last: int, worker: int) -> None:
            _compiled.multiply(
                last - first, given, first * self._channels, self._channels, self._matrix, 0,
                self._bias, 0, 0, out, first * self._wide, self._wide,
                self._channels, self._wide, self._lanes,
            )  # fmt: skip

        self._workers.split(prod(image.shape[2:]), self._channels + self._wide, part)
        return narrowed(found, self._features)


class InstanceNorm(Operation):
    """Instance normalisation, with the activation that follows it.

    Parameters
    ----------
    weight, bias : array (C,) or None
        What the normalised numbers are multiplied by, and what is added.
    epsilon : float
        Added to the variance.
    slopes : array (C,) or None
        What is left of a number below zero: zeros are a ReLU; None: no activation.
    may_overwrite : bool
        Nobody else reads the image: the result takes its memory.
    workers : Workers
        What it runs on.
    """

    def __init__(
        self,
        weight: Floats | None,
        bias: Floats | None,
        epsilon: float,
        slopes: Floats | None,
        may_overwrite: bool,
        workers: Workers,
    ) -> None:
        self._may_overwrite = may_overwrite
        self._weight, self._bias, self._epsilon = weight, bias, epsilon
        self._slopes = slopes
        self._workers = workers

    def __call__(self, image: Tensor) -> Tensor:
        """Normalise (1, C, ...)."""
        given = channels_last(image)
        channels, voxels = image.shape[1], prod(image.shape[2:])
        period = max(_ROW // channels, 1)
        shift = _middle(given.reshape(voxels, channels))
        totals = np.zeros((self._workers.threads, 2, channels))
        repeated = np.tile(shift, period)

        def add(first: int, last: int, worker: int) -> None:
            _passes.sums(
                given, channels, first, last, repeated, period,
                totals[worker, 0], totals[worker, 1],
            )  # fmt: skip

        self._workers.split(voxels, channels, add)
        mean, square = totals.sum(axis=0) / voxels
        variance = np.maximum(square - mean**2, 0)
        factors = 1 / np.sqrt(variance + self._epsilon)
        if self._weight is not None:
            factors = factors * self._weight
        summands = -(mean + shift) * factors
        if self._bias is not None:
            summands = summands + self._bias
        own = self._may_overwrite or not np.may_share_memory(given, image.numpy())
        out = given if own else np.empty_like(given)
        self._scale(given, out, own, (channels, voxels), factors, summands, period)
        return as_tensor(out, image.shape)

    def _scale(
        self,
        given: Floats,
        out: Floats,
        in_place: bool,
        size: tuple[int, int],
        factors: Any,
        summands: Any,
        period: int,
    ) -> None:
        channels, voxels = size
        slopes = np.ones(channels, np.float32) if self._slopes is None else self._slopes
        tables = [
            np.tile(np.asarray(values, np.float32), period)
            for values in (factors, summands, slopes)
        ]

        def write(first: int, last: int, worker: int) -> None:
            _passes.scale(given, out, in_place, channels, first, last, period, *tables)

        self._workers.split(voxels, channels, write)


def _middle(image: Floats) -> Floats:
    """Give about the means of (voxels, C): what is far from all numbers would cost digits."""
    step = max(len(image) // _SAMPLES, 1)
    found: Floats = image[step // 2 :: step].mean(axis=0, dtype=np.float32)
    return found
