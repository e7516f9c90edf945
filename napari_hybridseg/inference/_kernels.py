"""Compiled loops over bricks of logits: adding windows, taking the largest, interpolating.

Every function is re-entrant and releases the GIL; arrays are in C order. Products and sums are
rounded one by one, as torch rounds them, so nothing here may be compiled with ``fastmath``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.compiled import compiled

# bricks that are gone through together
BESIDE = 4
# planes of a channel that are gone through before the next channel: the longer a stretch of memory,
# the sooner it is there, and the weights of the planes stay in the cache
_DEEP = 4

# rows are short: calling what adds one up takes a tenth of the time that adding takes
_in_place = compiled(error_model="numpy", forceinline=True)

_LARGEST = np.float32(3.4028235e38)
# voxels whose best and which stay in the first cache while the channels are gone through
_AT_ONCE = 2048


@_in_place
def _add_row(
    total: Any, p: Any, count: Any, written: Any, logits: Any, q: Any, weights: Any, r: Any
) -> None:
    """Add a row to what is there, and write it where nothing is yet."""
    for x in range(written):
        total[p + x] = total[p + x] + logits[q + x] * weights[r + x]
    for x in range(written, count):
        total[p + x] = logits[q + x] * weights[r + x]


@_in_place
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


@_in_place
def _sum_row(
    total: Any, p: Any, count: Any, written: Any,
    logits: Any, q: Any, weights: Any, r: Any, out: Any, o: Any,
) -> None:  # fmt: skip
    """Add a row to what is there, and write the sums elsewhere."""
    for x in range(written):
        out[o + x] = total[p + x] + logits[q + x] * weights[r + x]
    for x in range(written, count):
        out[o + x] = logits[q + x] * weights[r + x]


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _flat(arrays: Any) -> Any:
    return (
        arrays[0].reshape(-1),
        arrays[1].reshape(-1),
        arrays[2].reshape(-1),
        arrays[3].reshape(-1),
    )


@compiled(error_model="numpy")
def _unsigned(totals: Any, window: Any, at: Any) -> Any:
    """Give per brick: first voxel of the common part, voxels, columns, those written, and place."""
    found = np.empty((5, len(at)), np.uintp)
    for n in range(len(at)):
        here, there, size, how = at[n]
        _, depth, height, length = totals[n].shape
        found[0, n] = (here[0] * height + here[1]) * length + here[2]
        found[1, n] = depth * height * length
        found[2, n], found[3, n] = size[2], how[2]
        found[4, n] = (there[0] * window[2] + there[1]) * window[3] + there[2]
    return found


@compiled(error_model="numpy")
def _turns(channels: Any, z0: Any, z1: Any) -> Any:
    """Give the first of every two channels with every plane, planes fastest."""
    for k in range(0, channels, 2):
        for z in range(z0, z1):
            yield k, z


@compiled(error_model="numpy")
def add_weighted(
    totals: Any, logits: Any, importance: Any, at: Any, by: Any, which: Any, ends: Any
) -> Any:
    """Add the weighted logits of a window to bricks that lie side by side along X.

    They are gone through together, because memory is read fast only where whole rows are. What
    this window is the last of is compared instead: its sums are read once more, not written.

    Parameters
    ----------
    totals : tuple of BESIDE float32 ndarray (K, Z, Y, X)
        The sums of the bricks; those from ``len(at)`` on are not looked at.
    logits : float32 ndarray (K, Z, Y, X)
        The window.
    importance : float32 ndarray (Z, Y, X)
        The weights of a window's voxels.
    at : int64 ndarray (N, 4, 3)
        For each brick: where the common part begins in the brick, where in the window, its
        voxels (Z, Y, X), and whether it is compared, 0, and in how many columns of it there are
        sums yet; the others are written. All parts are equally deep and high. What is compared
        is the whole brick.
    by : tuple of BESIDE float32 ndarray (Z, Y, X)
        The weights of the bricks that are compared.
    which : tuple of BESIDE int32 ndarray (Z, Y, X)
        Receives the channel of the largest mean (the first of equals) of those.
    ends : tuple of int
        The planes and rows of the common part that are wanted: first and end, along Z and Y.

    Returns
    -------
    int
        Its n-th bit is set if a mean of the n-th brick is no finite number.
    """
    sums, divisors, found = _flat(totals), _flat(by), _flat(which)
    values, weights = logits.reshape(-1), importance.reshape(-1)
    channels, count, apart = logits.shape[0], len(at), np.uintp(importance.size)
    z0, z1, y0, y1 = ends
    high = y1 - y0
    is_last = at[:, 3, 0] != 0
    # offsets are unsigned, or the loops are not vectorised
    begin, of_all, width, written, there = _unsigned(totals, logits.shape, at)
    wide, size = np.uintp(logits.shape[3]), np.uintp(count * high * logits.shape[3])
    first = np.arange(count).astype(np.uintp) * np.uintp(high) * wide
    best, means = np.empty(_DEEP * size, np.float32), np.empty(2 * size, np.float32)
    odd = np.int32(0)
    for zz in range(z0, z1, _DEEP):
        best[:] = -np.inf
        for k, z in _turns(channels, zz, min(zz + _DEEP, z1)):
            are_two = k + 1 < channels
            for y in range(y0, y1):
                for n in range(count):
                    _, _, height, length = totals[n].shape
                    p = begin[n] + np.uintp((z * height + y) * length) + np.uintp(k) * of_all[n]
                    r = there[n] + np.uintp(z * logits.shape[2] + y) * wide
                    q = r + np.uintp(k) * apart
                    if is_last[n]:
                        o = first[n] + np.uintp(y - y0) * width[n]
                        _sum_row(sums[n], p, width[n], written[n], values, q, weights, r, means, o)
                        if are_two:
                            _sum_row(
                                sums[n], p + of_all[n], width[n], written[n],
                                values, q + apart, weights, r, means, o + size,
                            )  # fmt: skip
                    elif are_two:
                        _add_two_rows(
                            sums[n], p, of_all[n], width[n], written[n],
                            values, q, apart, weights, r,
                        )  # fmt: skip
                    else:
                        _add_row(sums[n], p, width[n], written[n], values, q, weights, r)
            for n in range(count):
                if not is_last[n]:
                    continue
                o = (z * totals[n].shape[2] + y0) * totals[n].shape[3]
                m = high * totals[n].shape[3]
                to, divisor = found[n][o : o + m], divisors[n][o : o + m]
                if k == 0:
                    to[:] = 0
                b = np.uintp(z - zz) * size + first[n]
                for c in range(k, min(k + 2, channels)):
                    i = np.uintp(c - k) * size + first[n]
                    odd |= _take_larger(
                        means[i : i + m], divisor, np.int32(c), best[b : b + m], to
                    ) << np.int32(n)
    return odd


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _blend_row(rows: Any, p: Any, q: Any, part: Any, out: Any, r: Any, count: Any) -> None:
    """Interpolate between two rows that begin at p and q, into a row that begins at r."""
    for x in range(count):
        out[r + x] = rows[p + x] + part * (rows[q + x] - rows[p + x])


@compiled(error_model="numpy")
def _stretch_row(row: Any, low: Any, high: Any, part: Any, out: Any) -> None:
    for x in range(out.size):
        near = row[low[x]]
        out[x] = near + part[x] * (row[high[x]] - near)


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _take_larger_between(
    near: Any, far: Any, part: Any, channel: Any, best: Any, which: Any
) -> None:
    for x in range(which.size):
        value = near[x] + part * (far[x] - near[x])
        wins = value > best[x]
        best[x] = value if wins else best[x]
        which[x] = channel if wins else which[x]


@compiled(error_model="numpy")
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
