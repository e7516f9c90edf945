"""Compiled passes over an image: moving its channels, adding up by channel, scaling.

All arrays are flat float32 in C order. Everything is re-entrant and releases the GIL. The innermost
loops go over slices, whose indices are known to be no negative ones: vectors need that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.compiled import compiled

# sums of products may be rounded once instead of twice
_contract: set[str] = {"contract"}
_compiled = compiled(error_model="numpy", fastmath=_contract)
_in_place = compiled(error_model="numpy", fastmath=_contract, forceinline=True)


@_compiled
def move_channels(image: Any, channels: Any, out: Any, first: Any, last: Any) -> None:
    """Write (voxels, C) of what is (C, voxels), for some voxels."""
    voxels = image.size // channels
    for begin in range(first, last, 16):
        count = min(16, last - begin)
        for c in range(channels):
            source = image[c * voxels + begin : c * voxels + begin + count]
            target = out[begin * channels + c : (begin + count - 1) * channels + c + 1 : channels]
            for i in range(count):
                target[i] = source[i]


@_compiled
def split_channels(
    image: Any, wide: Any, channels: Any, out: Any, first: Any, last: Any
) -> None:  # fmt: skip
    """Write (C, voxels) of what is (voxels, ``wide``), for some voxels."""
    voxels = out.size // channels
    for begin in range(first, last, 16):
        count = min(16, last - begin)
        for c in range(channels):
            source = image[begin * wide + c : (begin + count - 1) * wide + c + 1 : wide]
            target = out[c * voxels + begin : c * voxels + begin + count]
            for i in range(count):
                target[i] = source[i]


@_in_place
def _sum_row(row: Any, shift: Any, some: Any, some_squares: Any) -> None:
    for i in range(row.size):
        away = row[i] - shift[i]
        some[i] += away
        some_squares[i] += away * away


@_in_place
def _scale_row(row: Any, factors: Any, summands: Any, slopes: Any) -> None:
    for i in range(row.size):
        value = row[i] * factors[i] + summands[i]
        row[i] = value if value > 0 else value * slopes[i]


@_in_place
def _scale_row_to(row: Any, out: Any, factors: Any, summands: Any, slopes: Any) -> None:
    for i in range(row.size):
        value = row[i] * factors[i] + summands[i]
        out[i] = value if value > 0 else value * slopes[i]


@_compiled
def sums(
    image: Any, channels: Any, first: Any, last: Any, shift: Any, period: Any,
    total: Any, squares: Any,
) -> None:  # fmt: skip
    """Add up what is above ``shift`` and its square, by channel, for some voxels.

    ``shift`` is repeated to ``period`` voxels, so that a row is long enough for vectors;
    ``total`` and ``squares`` (channels) are in double precision and are added to.
    """
    row = period * channels
    some, some_squares = np.zeros(row, np.float32), np.zeros(row, np.float32)
    voxel, kept = first, 0
    while voxel < last:
        count = min(period, last - voxel) * channels
        _sum_row(image[voxel * channels : voxel * channels + count], shift, some, some_squares)
        voxel += period
        kept += 1
        if kept == 32 or voxel >= last:
            for i in range(row):
                total[i % channels] += some[i]
                squares[i % channels] += some_squares[i]
            some[:] = 0
            some_squares[:] = 0
            kept = 0


@_compiled
def scale(
    image: Any, out: Any, in_place: Any, channels: Any, first: Any, last: Any, period: Any,
    factors: Any, summands: Any, slopes: Any,
) -> None:  # fmt: skip
    """Write ``image * factors + summands``, what is below zero of it times ``slopes``.

    The tables are repeated to ``period`` voxels. Where the image may go, ``in_place`` saves
    touching new memory, which costs more than the arithmetic; ``out`` is not looked at then.
    """
    voxel = first
    while voxel < last:
        begin, end = voxel * channels, min(voxel + period, last) * channels
        if in_place:  # a loop of its own: vectors need to know what is the same memory
            _scale_row(image[begin:end], factors, summands, slopes)
        else:
            _scale_row_to(image[begin:end], out[begin:end], factors, summands, slopes)
        voxel += period
