"""Compiled loops over bricks of logits: adding windows, taking the largest, interpolating.

Every function is re-entrant and releases the GIL; arrays are in C order. Products and sums are
rounded one by one, as torch rounds them, so nothing here may be compiled with ``fastmath``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_LARGEST = np.float32(3.4028235e38)
# voxels whose best and which stay in the first cache while the channels are gone through
_AT_ONCE = 2048


@njit(nogil=True, cache=True, error_model="numpy")
def _add_row(
    total: Any, p: Any, count: Any, written: Any, logits: Any, q: Any, weights: Any, r: Any
) -> None:
    """Add a row to what is there, and write it where nothing is yet."""
    for x in range(written):
        total[p + x] = total[p + x] + logits[q + x] * weights[r + x]
    for x in range(written, count):
        total[p + x] = logits[q + x] * weights[r + x]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_two_rows(
    total: Any, p: Any, apart: Any, count: Any, written: Any,
    logits: Any, q: Any, logits_apart: Any, weights: Any, r: Any,
) -> None:  # fmt: skip
    """Add a row of two channels, whose numbers lie ``apart``: a quarter quicker than one by one."""
    for x in range(written):
        weight = weights[r + x]
        total[p + x] = total[p + x] + logits[q + x] * weight
        total[p + apart + x] = total[p + apart + x] + logits[q + logits_apart + x] * weight
    for x in range(written, count):
        weight = weights[r + x]
        total[p + x] = logits[q + x] * weight
        total[p + apart + x] = logits[q + logits_apart + x] * weight


@njit(nogil=True, cache=True, error_model="numpy")
def _offset(shape: Any, start: Any) -> Any:
    """Say where a row begins; unsigned, or the loops are not vectorised."""
    return np.uintp((start[0] * shape[-2] + start[1]) * shape[-1] + start[2])


@njit(nogil=True, cache=True, error_model="numpy")
def add_weighted(
    left: Any, right: Any, logits: Any, importance: Any, at_left: Any, at_right: Any
) -> None:
    """Add the weighted logits of a window to a brick, or to two that lie side by side along X.

    The two are gone through together, because memory is read fast only where whole rows are.

    Parameters
    ----------
    left, right : float32 ndarray (K, Z, Y, X)
        The bricks.
    logits : float32 ndarray (K, Z, Y, X)
        The window.
    importance : float32 ndarray (Z, Y, X)
        The weights of a window's voxels.
    at_left, at_right : int64 ndarray (4, 3)
        For each brick: where the common part begins in the brick, where in the window, its
        voxels (Z, Y, X), and in how many columns of it there are sums yet (the last number);
        the others are written. Both parts are equally deep and high; a width of 0 is none.
    """
    sums, others = left.reshape(-1), right.reshape(-1)
    values, weights = logits.reshape(-1), importance.reshape(-1)
    width, width_right = np.uintp(at_left[2, 2]), np.uintp(at_right[2, 2])
    written, written_right = np.uintp(at_left[3, 2]), np.uintp(at_right[3, 2])
    # out of the loops: what is written might be these arrays, for all that the compiler knows
    first, first_right = _offset(left.shape, at_left[0]), _offset(right.shape, at_right[0])
    here, here_right = _offset(logits.shape, at_left[1]), _offset(logits.shape, at_right[1])
    apart, apart_right = np.uintp(left[0].size), np.uintp(right[0].size)
    deep, high, logits_apart = at_left[2, 0], at_left[2, 1], np.uintp(importance.size)
    for k in range(0, left.shape[0], 2):
        are_two = k + 1 < left.shape[0]
        for z in range(deep):
            for y in range(high):
                there = np.uintp((z * logits.shape[2] + y) * logits.shape[3])
                r, q = here + there, here + there + np.uintp(k) * logits_apart
                p = first + np.uintp((z * left.shape[2] + y) * left.shape[3])
                p += np.uintp(k) * apart
                if are_two:
                    _add_two_rows(
                        sums, p, apart, width, written, values, q, logits_apart, weights, r
                    )
                else:
                    _add_row(sums, p, width, written, values, q, weights, r)
                if not width_right:
                    continue
                r, q = here_right + there, here_right + there + np.uintp(k) * logits_apart
                p = first_right + np.uintp((z * right.shape[2] + y) * right.shape[3])
                p += np.uintp(k) * apart_right
                if are_two:
                    _add_two_rows(
                        others, p, apart_right, width_right, written_right,
                        values, q, logits_apart, weights, r,
                    )  # fmt: skip
                else:
                    _add_row(others, p, width_right, written_right, values, q, weights, r)


@njit(nogil=True, cache=True, error_model="numpy")
def _take_larger(total: Any, weights: Any, channel: Any, best: Any, which: Any) -> Any:
    """Divide a plane, keep what beats the best so far, and say whether all were numbers."""
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
    best = np.empty(height * width, np.float32)
    odd = np.int32(0)
    for z in range(z0, z1):
        plane, by = which[z].reshape(-1), weights[z].reshape(-1)
        best[:] = -np.inf
        plane[:] = 0
        for k in range(channels):
            odd |= _take_larger(total[k, z].reshape(-1), by, np.int32(k), best, plane)
    return odd


@njit(nogil=True, cache=True, error_model="numpy")
def mean_into(total: Any, weights: Any, out: Any, z0: int, k0: int, k1: int) -> Any:
    """Write the means of channels k0 to k1 behind the first plane, row and column of ``out``.

    Parameters
    ----------
    total : float32 ndarray (K, Z, Y, X)
    weights : float32 ndarray (Z, Y, X)
    out : float32 ndarray (K, N + 1, Y + 1, X + 1)
        Receives the N planes from plane z0.

    Returns
    -------
    int
        Not 0 if a mean is no finite number.
    """
    _, _, height, width = total.shape
    odd = np.int32(0)
    for k in range(k0, k1):
        for z in range(out.shape[1] - 1):
            for y in range(height):
                to, by, values = out[k, z + 1, y + 1, 1:], weights[z0 + z, y], total[k, z0 + z, y]
                for x in range(width):
                    mean = values[x] / by[x]
                    odd |= np.int32(not (abs(mean) <= _LARGEST))
                    to[x] = mean
    return odd


@njit(nogil=True, cache=True, error_model="numpy")
def _blend_row(rows: Any, p: Any, q: Any, part: Any, out: Any, r: Any, count: Any) -> None:
    """Interpolate between two rows that begin at p and q, into a row that begins at r."""
    for x in range(count):
        out[r + x] = rows[p + x] + part * (rows[q + x] - rows[p + x])


@njit(nogil=True, cache=True, error_model="numpy")
def _stretch_row(row: Any, low: Any, high: Any, part: Any, out: Any) -> None:
    for x in range(out.size):
        near = row[low[x]]
        out[x] = near + part[x] * (row[high[x]] - near)


@njit(nogil=True, cache=True, error_model="numpy")
def _stretch_plane(means: Any, z: Any, low: Any, high: Any, part: Any, rows: Any, out: Any) -> None:
    """Interpolate one plane of every channel along X and Y."""
    flat, width = rows.reshape(-1), np.uintp(rows.shape[1])
    for k in range(means.shape[0]):
        for y in range(means.shape[2]):
            _stretch_row(means[k, z, y], low[2], high[2], part[2], rows[y])
        to, r = out[k], np.uintp(0)
        for y in range(part[1].size):
            p, q = np.uintp(low[1][y]) * width, np.uintp(high[1][y]) * width
            _blend_row(flat, p, q, part[1][y], to, r, width)
            r += width


@njit(nogil=True, cache=True, error_model="numpy")
def _take_larger_between(
    near: Any, far: Any, part: Any, channel: Any, best: Any, which: Any
) -> None:
    for x in range(which.size):
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
    size = height * width
    best = np.empty(_AT_ONCE, np.float32)
    rows = np.empty((means.shape[2], width), np.float32)
    near = np.empty((channels, size), np.float32)
    far = np.empty((channels, size), np.float32)
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
        plane = which[z].reshape(-1)
        for begin in range(0, size, _AT_ONCE):
            end = min(begin + _AT_ONCE, size)
            best[:] = -np.inf
            some = plane[begin:end]
            some[:] = 0
            for k in range(channels):
                _take_larger_between(
                    near[k, begin:end], other[k, begin:end], part[0][z], np.int32(k), best, some
                )
