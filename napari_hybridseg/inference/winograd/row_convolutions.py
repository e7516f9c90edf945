"""Convolutions by products of rows, with any taps and strides, forwards and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from torch import Tensor

from napari_hybridseg.inference.winograd import _compiled
from napari_hybridseg.inference.winograd.layout import (
    Floats,
    Workers,
    channels_last,
    empty,
    lanes_of,
    narrowed,
    padded_bias,
    panelled,
    rounded,
    three,
)
from napari_hybridseg.inference.winograd.operations import Operation
from napari_hybridseg.older_python import zip


class StridedConvolution(Operation):
    """A convolution with any taps and strides, and zeros around the image.

    Parameters
    ----------
    weight : array (C_out, C_in, [kz,] ky, kx)
        Its kernel.
    bias : array (C_out,) or None
        What is added.
    stride, padding : sequence of int
        Along each axis.
    workers : Workers
        What it runs on.
    """

    def __init__(
        self,
        weight: Floats,
        bias: Floats | None,
        stride: Sequence[int],
        padding: Sequence[int],
        workers: Workers,
    ) -> None:
        self._features, channels = weight.shape[:2]
        self._taps = three(weight.shape[2:])
        self._stride = three(stride)
        self._padding = three(padding, 0)
        full = weight.reshape(self._features, channels, *self._taps)
        self._rows = _Rows(full.transpose(2, 3, 4, 1, 0), bias, workers)

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve an image (1, C, [Z,] Y, X)."""
        size = three(image.shape[2:])
        around = [(p, p) for p in self._padding]
        padded = self._rows.padded(image, around)
        result = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(size, self._padding, self._taps, self._stride, strict=True)
        ]
        found, out = empty(self._rows.wide, result[5 - image.ndim :])
        self._rows.write(padded, self._stride, (0, 0, 0), out, result, (0, 0, 0), (1, 1, 1))
        return narrowed(found, self._features)


class TransposedConvolution(Operation):
    """A transposed convolution with any taps and strides.

    What lies ``stride`` apart in the result comes from the same taps: for each place within a
    stride that is a convolution with stride one, of fewer taps.

    Parameters
    ----------
    weight : array (C_in, C_out, [kz,] ky, kx)
        Its kernel.
    bias : array (C_out,) or None
        What is added.
    stride, padding, output_padding : sequence of int
        Along each axis, as torch takes them.
    workers : Workers
        What it runs on.
    """

    def __init__(
        self,
        weight: Floats,
        bias: Floats | None,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
        workers: Workers,
    ) -> None:
        channels, self._features = weight.shape[:2]
        self._taps = three(weight.shape[2:])
        self._stride = three(stride)
        self._padding = three(padding, 0)
        self._more = three(output_padding, 0)
        full = weight.reshape(channels, self._features, *self._taps).transpose(2, 3, 4, 0, 1)
        self._parts: list[tuple[tuple[int, ...], list[int], _Rows]] = []
        for place in np.ndindex(*self._stride):
            taps = [
                # the last tap reads the first voxel
                [tap for tap in reversed(range(k)) if (at + p - tap) % s == 0]
                for at, p, k, s in zip(place, self._padding, self._taps, self._stride, strict=True)
            ]
            if not all(taps):
                raise ValueError("a stride is longer than the taps of a transposed convolution")
            first = [
                (at + p - along[0]) // s
                for at, p, along, s in zip(place, self._padding, taps, self._stride, strict=True)
            ]
            self._parts.append((place, first, _Rows(full[np.ix_(*taps)], bias, workers)))

    def __call__(self, image: Tensor) -> Tensor:
        """Spread an image (1, C, [Z,] Y, X)."""
        size = three(image.shape[2:])
        result = [
            (n - 1) * s - 2 * p + k + more
            for n, s, p, k, more in zip(
                size, self._stride, self._padding, self._taps, self._more, strict=True
            )
        ]
        around = [(k, k + more) for k, more in zip(self._taps, self._more, strict=True)]
        padded = self._parts[0][2].padded(image, around)
        found, out = empty(self._parts[0][2].wide, result[5 - image.ndim :])
        for place, first, rows in self._parts:
            origin = [before + at for (before, _), at in zip(around, first, strict=True)]
            rows.write(padded, (1, 1, 1), origin, out, result, place, self._stride)
        return narrowed(found, self._features)


class _Rows:
    """Filters whose taps along x are one row of a product, with the image's channels.

    Parameters
    ----------
    filters : array (kz, ky, kx, C_in, C_out)
        Taps in the order of the voxels that they read.
    bias : array (C_out,) or None
        What is added.
    workers : Workers
        What it runs on.
    """

    def __init__(self, filters: Floats, bias: Floats | None, workers: Workers) -> None:
        kz, ky, kx, self._channels, features = filters.shape
        self._taps = np.array((kz, ky, kx))
        self.wide = rounded(features)
        self._lanes = lanes_of(self.wide)
        full = np.zeros((kz * ky, kx * self._channels, self.wide), np.float32)
        full[..., :features] = filters.reshape(kz * ky, kx * self._channels, features)
        self._filters = panelled(full, self._lanes)
        self._bias = padded_bias(bias, self.wide)
        self._workers = workers

    def padded(self, image: Tensor, around: Sequence[tuple[int, int]]) -> Floats:
        """Give (Z, Y, X, C) with zeros around it, in memory that the next call takes again."""
        size = three(image.shape[2:])
        larger = [before + n + after for n, (before, after) in zip(size, around, strict=True)]
        numbers = prod(larger) * self._channels
        found = self._workers.memory("padded", 0, numbers)[:numbers]
        found = found.reshape(*larger, self._channels)
        found[:] = 0
        inside = tuple(
            slice(before, before + n) for n, (before, _) in zip(size, around, strict=True)
        )
        found[inside] = channels_last(image).reshape(*size, self._channels)
        return found

    def write(
        self,
        padded: Floats,
        stride: Sequence[int],
        origin: Sequence[int],
        out: Floats,
        result: Sequence[int],
        place: Sequence[int],
        apart: Sequence[int],
    ) -> None:
        """Write the voxels of the result that begin at ``place`` and lie ``apart``."""
        counts = [-(-(n - at) // step) for n, at, step in zip(result, place, apart, strict=True)]
        lines = np.array((result[1] * result[2], result[2], 1)) * self.wide
        begin = int(np.dot(place, lines))
        steps = lines * np.array(apart)
        stride_of, origin_of = np.array(stride), np.array(origin)
        flat = padded.reshape(-1)

        def part(first: int, last: int, worker: int) -> None:
            _compiled.convolve_rows(
                flat, *padded.shape[1:], self._filters, self._bias,
                self._taps, stride_of, origin_of, out, begin, steps, counts[1], counts[2],
                self.wide, first, last, self._lanes,
            )  # fmt: skip

        each = counts[2] * self.wide * self._channels
        self._workers.split(counts[0] * counts[1], each, part)
