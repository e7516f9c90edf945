"""Compiled loops over bricks of logits: adding windows, taking the largest, interpolating.

Every function is re-entrant and releases the GIL; arrays are in C order. Products and sums are
rounded one by one, as torch rounds them, so nothing here may be compiled with ``fastmath``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_LARGEST = np.float32(3.4028235e38)


@njit(nogil=True, cache=True, error_model="numpy")
def _add(
    total: Any, p: Any, count: Any, a: Any, q: Any, weights: Any, r: Any, is_first: Any
) -> None:
    """Add a row of one window, or write it where nothing is yet."""
    for x in range(count):
        product = a[q + x] * weights[r + x]
        total[p + x] = product if is_first else total[p + x] + product


@njit(nogil=True, cache=True, error_model="numpy")
def _add_two(
    total: Any, p: Any, count: Any, a: Any, qa: Any, ra: Any, b: Any, qb: Any, rb: Any,
    weights: Any, is_first: Any,
) -> None:  # fmt: skip
    """Add a row of two windows that overlap in all of it, first the one and then the other."""
    for x in range(count):
        product = a[qa + x] * weights[ra + x]
        value = product if is_first else total[p + x] + product
        total[p + x] = value + b[qb + x] * weights[rb + x]


@njit(nogil=True, cache=True, error_model="numpy")
def _offset(shape: Any, start: Any, k: Any, z: Any, y: Any) -> Any:
    """Say where a row begins; unsigned, or the loops are not vectorised."""
    return np.uintp(
        ((k * shape[-3] + start[0] + z) * shape[-2] + start[1] + y) * shape[-1] + start[2]
    )


@njit(nogil=True, cache=True, error_model="numpy")
def add_weighted(
    total: Any, first: Any, second: Any, importance: Any, at_first: Any, at_second: Any,
    is_first: Any,
) -> None:  # fmt: skip
    """Add the weighted logits of one or two windows to a brick.

    Sums are read and written once for both: memory is what this costs.

    Parameters
    ----------
    total : float32 ndarray (K, Z, Y, X)
        The brick.
    first, second : float32 ndarray (K, Z, Y, X)
        The windows, in the order in which they are added.
    importance : float32 ndarray (Z, Y, X)
        The weights of a window's voxels.
    at_first, at_second : int64 ndarray (3, 3)
        For each window: where its part begins in the brick, where in the window, and its voxels
        (Z, Y, X). Both parts are equally deep and high; a width of 0 is no window.
    is_first : bool
        Whether the brick holds nothing yet; the first part then fills it.
    """
    sums, weights = total.reshape(-1), importance.reshape(-1)
    a, b = first.reshape(-1), second.reshape(-1)
    width, width_b = np.uintp(at_first[2, 2]), np.uintp(at_second[2, 2])
    is_same = at_first[0, 2] == at_second[0, 2] and width == width_b
    for k in range(total.shape[0]):
        for z in range(at_first[2, 0]):
            for y in range(at_first[2, 1]):
                p = _offset(total.shape, at_first[0], k, z, y)
                q = _offset(first.shape, at_first[1], k, z, y)
                r = _offset(importance.shape, at_first[1], 0, z, y)
                qb = _offset(second.shape, at_second[1], k, z, y)
                rb = _offset(importance.shape, at_second[1], 0, z, y)
                if is_same:
                    _add_two(sums, p, width, a, q, r, b, qb, rb, weights, is_first)
                else:
                    _add(sums, p, width, a, q, weights, r, is_first)
                    p = _offset(total.shape, at_second[0], k, z, y)
                    _add(sums, p, width_b, b, qb, weights, rb, False)


@njit(nogil=True, cache=True, error_model="numpy")
def _take_larger(total: Any, weights: Any, channel: Any, best: Any, which: Any) -> Any:
    """Divide a row, keep what beats the best so far, and say whether all were numbers."""
    odd = np.int32(0)
    for x in range(total.size):
        mean = total[x] / weights[x]
        wins = mean > best[x]
        odd |= np.int32(not (abs(mean) <= _LARGEST))
        best[x] = mean if wins else best[x]
        which[x] = channel if wins else which[x]
    return odd


@njit(nogil=True, cache=True, error_model="numpy")
def largest_mean(total: Any, weights: Any, z0: int, z1: int, which: Any) -> Any:
    """Write the channel of the largest mean (the first of equals) of planes z0 to z1.

    Parameters
    ----------
    total : float32 ndarray (K, Z, Y, X)
        Sums.
    weights : float32 ndarray (Z, Y, X)
    which : int32 ndarray (Z, Y, X)
        Receives the channels.

    Returns
    -------
    int
        Not 0 if a mean is no finite number.
    """
    channels, _, height, width = total.shape
    best = np.empty(width, np.float32)
    odd = np.int32(0)
    for z in range(z0, z1):
        for y in range(height):
            best[:] = -np.inf
            row = which[z, y]
            row[:] = 0
            for k in range(channels):
                odd |= _take_larger(total[k, z, y], weights[z, y], np.int32(k), best, row)
    return odd


@njit(nogil=True, cache=True, error_model="numpy")
def mean_into(total: Any, weights: Any, out: Any, k0: int, k1: int) -> Any:
    """Write the means of channels k0 to k1 behind the first plane, row and column of ``out``.

    Parameters
    ----------
    total : float32 ndarray (K, Z, Y, X)
    weights : float32 ndarray (Z, Y, X)
    out : float32 ndarray (K, Z + 1, Y + 1, X + 1)

    Returns
    -------
    int
        Not 0 if a mean is no finite number.
    """
    _, depth, height, width = total.shape
    odd = np.int32(0)
    for k in range(k0, k1):
        for z in range(depth):
            for y in range(height):
                to, by, values = out[k, z + 1, y + 1, 1:], weights[z, y], total[k, z, y]
                for x in range(width):
                    mean = values[x] / by[x]
                    odd |= np.int32(not (abs(mean) <= _LARGEST))
                    to[x] = mean
    return odd


@njit(nogil=True, cache=True, error_model="numpy")
def _blend_rows(near: Any, far: Any, part: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = near[x] + part * (far[x] - near[x])


@njit(nogil=True, cache=True, error_model="numpy")
def _stretch_row(row: Any, low: Any, high: Any, part: Any, out: Any) -> None:
    for x in range(out.size):
        near = row[low[x]]
        out[x] = near + part[x] * (row[high[x]] - near)


@njit(nogil=True, cache=True, error_model="numpy")
def _stretch_plane(means: Any, z: Any, low: Any, high: Any, part: Any, rows: Any, out: Any) -> None:
    """Interpolate one plane of every channel along X and Y."""
    for k in range(means.shape[0]):
        for y in range(means.shape[2]):
            _stretch_row(means[k, z, y], low[2], high[2], part[2], rows[y])
        for y in range(out.shape[1]):
            _blend_rows(rows[low[1][y]], rows[high[1][y]], part[1][y], out[k, y])


@njit(nogil=True, cache=True, error_model="numpy")
def _take_larger_between(
    near: Any, far: Any, part: Any, channel: Any, best: Any, which: Any
) -> None:
    for x in range(best.size):
        value = near[x] + part * (far[x] - near[x])
        wins = value > best[x]
        best[x] = value if wins else best[x]
        which[x] = channel if wins else which[x]


@njit(nogil=True, cache=True, error_model="numpy")
def largest_between(
    means: Any, low: Any, high: Any, part: Any, z0: int, z1: int, which: Any
) -> None:
    """Interpolate linearly and write the channel of the largest, for planes z0 to z1.

    Parameters
    ----------
    means : float32 ndarray (K, Z, Y, X)
    low, high : tuple of three uint32 ndarray
        For every output index along Z, Y, X: the two voxels of ``means`` around it.
    part : tuple of three float32 ndarray
        How far it lies from the first to the second, 0 to 1.
    which : int32 ndarray
        Receives the channels, on the output grid.
    """
    channels = means.shape[0]
    _, height, width = which.shape
    best = np.empty(width, np.float32)
    rows = np.empty((means.shape[2], width), np.float32)
    near = np.empty((channels, height, width), np.float32)
    far = np.empty((channels, height, width), np.float32)
    near_z, far_z = np.int64(-1), np.int64(-1)
    for z in range(z0, z1):
        first, second = np.int64(low[0][z]), np.int64(high[0][z])
        if first == far_z:
            near, far, near_z, far_z = far, near, far_z, near_z
        if first != near_z:
            _stretch_plane(means, first, low, high, part, rows, near)
            near_z = first
        if second != first and second != far_z:
            _stretch_plane(means, second, low, high, part, rows, far)
            far_z = second
        other = near if second == first else far
        for y in range(height):
            best[:] = -np.inf
            row = which[z, y]
            row[:] = 0
            for k in range(channels):
                _take_larger_between(near[k, y], other[k, y], part[0][z], np.int32(k), best, row)
