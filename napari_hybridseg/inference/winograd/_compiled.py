"""Compiled loops of convolutions, on arrays whose last axis is the channels.

All arrays are flat float32 in C order; nothing here checks an index. Everything is re-entrant and
releases the GIL.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.compiled import compiled
from napari_hybridseg.inference.winograd._vectors import (
    FEW_ROWS,
    ROWS_OF_ONE,
    ROWS_OF_TWO,
    add_scaled,
    input_tile,
    output_tile,
    product,
)

_compiled = compiled(error_model="numpy")
_in_place = compiled(error_model="numpy", forceinline=True)


@_in_place
def _rows_by_two(
    rows: Any, left: Any, l_at: Any, l_step: Any, right: Any, r_at: Any, start: Any, s_at: Any,
    s_step: Any, target: Any, t_at: Any, t_step: Any, depth: Any, lanes: Any,
) -> None:  # fmt: skip
    """Multiply all rows with two vectors of columns."""
    row = 0
    while row + ROWS_OF_TWO <= rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 32, start, b, s_step, target, c, t_step,
                     depth, ROWS_OF_TWO, 2, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, ROWS_OF_TWO, 2, 8)  # fmt: skip
        row += ROWS_OF_TWO
    while row + FEW_ROWS <= rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 32, start, b, s_step, target, c, t_step,
                     depth, FEW_ROWS, 2, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, FEW_ROWS, 2, 8)  # fmt: skip
        row += FEW_ROWS
    while row < rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 32, start, b, s_step, target, c, t_step,
                     depth, 1, 2, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, 1, 2, 8)  # fmt: skip
        row += 1


@_in_place
def _rows_by_one(
    rows: Any, left: Any, l_at: Any, l_step: Any, right: Any, r_at: Any, start: Any, s_at: Any,
    s_step: Any, target: Any, t_at: Any, t_step: Any, depth: Any, lanes: Any,
) -> None:  # fmt: skip
    """Multiply all rows with one vector of columns."""
    row = 0
    while row + ROWS_OF_ONE <= rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, ROWS_OF_ONE, 1, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 8, start, b, s_step, target, c, t_step,
                     depth, ROWS_OF_ONE, 1, 8)  # fmt: skip
        row += ROWS_OF_ONE
    while row + FEW_ROWS <= rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, FEW_ROWS, 1, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 8, start, b, s_step, target, c, t_step,
                     depth, FEW_ROWS, 1, 8)  # fmt: skip
        row += FEW_ROWS
    while row < rows:
        a, b, c = l_at + row * l_step, s_at + row * s_step, t_at + row * t_step
        if lanes == 16:
            product(left, a, l_step, right, r_at, 16, start, b, s_step, target, c, t_step,
                     depth, 1, 1, 16)  # fmt: skip
        else:
            product(left, a, l_step, right, r_at, 8, start, b, s_step, target, c, t_step,
                     depth, 1, 1, 8)  # fmt: skip
        row += 1


@_compiled
def multiply(
    rows: Any, left: Any, l_at: Any, l_step: Any, right: Any, r_at: Any,
    start: Any, s_at: Any, s_step: Any, target: Any, t_at: Any, t_step: Any,
    depth: Any, columns: Any, lanes: Any,
) -> None:  # fmt: skip
    """Write ``start + left @ right``; ``right`` is in panels of two vectors, then of one."""
    column = 0
    while column + 2 * lanes <= columns:
        _rows_by_two(rows, left, l_at, l_step, right, r_at + column * depth,
                     start, s_at + column, s_step, target, t_at + column, t_step,
                     depth, lanes)  # fmt: skip
        column += 2 * lanes
    if column < columns:
        _rows_by_one(rows, left, l_at, l_step, right, r_at + column * depth,
                     start, s_at + column, s_step, target, t_at + column, t_step,
                     depth, lanes)  # fmt: skip


@_in_place
def _copy_row(source: Any, target: Any) -> None:
    """Copy; a slice's indices are known to be no negative ones, which vectors need."""
    for i in range(source.size):
        target[i] = source[i]


@_in_place
def _gather(image: Any, size_z: Any, size_y: Any, size_x: Any, channels: Any,
            z: Any, y: Any, x: Any, nz: Any, ny: Any, nx: Any, edge: Any) -> None:  # fmt: skip
    """Copy a tile's inputs that partly lie outside of the image, with zeros there."""
    edge[: nz * ny * nx * channels] = 0
    low, high = max(x, 0), min(x + nx, size_x)
    count = (high - low) * channels
    for k in range(max(z, 0), min(z + nz, size_z)):
        for j in range(max(y, 0), min(y + ny, size_y)):
            p = ((k * size_y + j) * size_x + low) * channels
            q = (((k - z) * ny + (j - y)) * nx + (low - x)) * channels
            _copy_row(image[p : p + count], edge[q : q + count])


@_in_place
def _spread(edge: Any, nz: Any, ny: Any, nx: Any, channels: Any,
            out: Any, size_z: Any, size_y: Any, size_x: Any,
            z: Any, y: Any, x: Any) -> None:  # fmt: skip
    """Copy those of a tile's outputs that lie in the image."""
    count = (min(x + nx, size_x) - x) * channels
    for k in range(min(nz, size_z - z)):
        for j in range(min(ny, size_y - y)):
            p = (((z + k) * size_y + y + j) * size_x + x) * channels
            q = (k * ny + j) * nx * channels
            _copy_row(edge[q : q + count], out[p : p + count])


@_in_place
def _inputs(
    source: Any, at: Any, dz: Any, dy: Any, dx: Any, left: Any, to: Any, apart: Any,
    kind: Any, lanes: Any,
) -> None:  # fmt: skip
    if kind == 0 and lanes == 16:
        input_tile(source, at, dz, dy, dx, left, to, apart, 0, 16)
    elif kind == 0:
        input_tile(source, at, dz, dy, dx, left, to, apart, 0, 8)
    elif kind == 1 and lanes == 16:
        input_tile(source, at, dz, dy, dx, left, to, apart, 1, 16)
    elif kind == 1:
        input_tile(source, at, dz, dy, dx, left, to, apart, 1, 8)
    elif lanes == 16:
        input_tile(source, at, dz, dy, dx, left, to, apart, 2, 16)
    else:
        input_tile(source, at, dz, dy, dx, left, to, apart, 2, 8)


@_in_place
def _outputs(
    products: Any, at: Any, apart: Any, bias: Any, c: Any,
    target: Any, to: Any, dz: Any, dy: Any, dx: Any, kind: Any, lanes: Any,
) -> None:  # fmt: skip
    if kind == 0 and lanes == 16:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 0, 16)
    elif kind == 0:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 0, 8)
    elif kind == 1 and lanes == 16:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 1, 16)
    elif kind == 1:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 1, 8)
    elif lanes == 16:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 2, 16)
    else:
        output_tile(products, at, apart, bias, c, target, to, dz, dy, dx, 2, 8)


@_compiled
def convolve(
    image: Any, size_z: Any, size_y: Any, size_x: Any, channels: Any, filters: Any, bias: Any,
    out: Any, features: Any, kind: Any, lanes: Any, first: Any, last: Any, at_once: Any,
    left: Any, products: Any, edge: Any, nothing: Any,
) -> None:  # fmt: skip
    """Convolve the tiles ``first`` to ``last`` of an image (Z, Y, X, C), zeros around it.

    ``filters`` are transformed, in panels; ``left`` and ``products`` have room for ``at_once``
    tiles, ``edge`` for one with all channels; ``nothing`` is zeros. ``kind`` is the place among
    ``KINDS``.
    """
    deep = 2 if kind == 0 else 4 if kind == 1 else 1
    reach = 0 if kind == 2 else 1  # voxels before the tile along z, and after it
    nz = deep + 2 * reach
    count = nz * 36
    along_y, along_x = (size_y + 3) // 4, (size_x + 3) // 4
    # a step beyond a power of two: else all products would share a few lines of the cache
    apart, out_apart = at_once * channels + 16, at_once * features + 16
    dy, dz = size_x * channels, size_y * size_x * channels
    out_dy, out_dz = size_x * features, size_y * size_x * features
    for begin in range(first, last, at_once):
        tiles = min(at_once, last - begin)
        for tile in range(tiles):
            number = begin + tile
            x = number % along_x * 4 - 1
            y = number // along_x % along_y * 4 - 1
            z = number // (along_x * along_y) * deep - reach
            inside = (
                x >= 0 and y >= 0 and z >= 0
                and x + 6 <= size_x and y + 6 <= size_y and z + nz <= size_z
            )  # fmt: skip
            if not inside:
                _gather(image, size_z, size_y, size_x, channels, z, y, x, nz, 6, 6, edge)
            source, at = (image, z * dz + y * dy + x * channels) if inside else (edge, 0)
            sz, sy = (dz, dy) if inside else (36 * channels, 6 * channels)
            for c in range(0, channels, lanes):
                to = tile * channels + c
                _inputs(source, at + c, sz, sy, channels, left, to, apart, kind, lanes)
        for number in range(count):
            multiply(tiles, left, number * apart, channels, filters, number * channels * features,
                     nothing, 0, 0, products, number * out_apart, features, channels, features,
                     lanes)  # fmt: skip
        for tile in range(tiles):
            number = begin + tile
            x = number % along_x * 4
            y = number // along_x % along_y * 4
            z = number // (along_x * along_y) * deep
            inside = x + 4 <= size_x and y + 4 <= size_y and z + deep <= size_z
            target, to = (out, z * out_dz + y * out_dy + x * features) if inside else (edge, 0)
            tz, ty = (out_dz, out_dy) if inside else (16 * features, 4 * features)
            for c in range(0, features, lanes):
                at = tile * features + c
                _outputs(products, at, out_apart, bias, c,
                         target, to + c, tz, ty, features, kind, lanes)  # fmt: skip
            if not inside:
                _spread(edge, deep, 4, 4, features, out, size_z, size_y, size_x, z, y, x)


@_compiled
def convolve_rows(
    padded: Any, size_y: Any, size_x: Any, channels: Any, filters: Any, bias: Any,
    taps: Any, strides: Any, origin: Any,
    out: Any, begin: Any, steps: Any, rows_y: Any, count_x: Any, features: Any,
    first: Any, last: Any, lanes: Any,
) -> None:  # fmt: skip
    """Convolve an image that has its zeros around it, for the rows ``first`` to ``last``.

    The first window begins at the voxel ``origin``, the next ``strides`` further; the results
    begin at the number ``begin`` and lie ``steps`` numbers apart. ``taps``, ``strides``, ``origin``
    and ``steps`` are along z, y and x. The voxels and channels of a filter that lie beside one
    another along x are one long row of a product.
    """
    depth = taps[2] * channels
    for number in range(first, last):
        z = origin[0] + number // rows_y * strides[0]
        y = origin[1] + number % rows_y * strides[1]
        to = begin + number // rows_y * steps[0] + number % rows_y * steps[1]
        for k in range(taps[0]):
            for j in range(taps[1]):
                at = (((z + k) * size_y + y + j) * size_x + origin[2]) * channels
                begins = k == 0 and j == 0
                start, s_at, s_step = (bias, 0, 0) if begins else (out, to, steps[2])
                multiply(count_x, padded, at, strides[2] * channels,
                         filters, (k * taps[1] + j) * depth * features,
                         start, s_at, s_step, out, to, steps[2],
                         depth, features, lanes)  # fmt: skip


@_compiled
def sample(
    value: Any, heads: Any, channels: Any, sizes: Any, locations: Any, weights: Any, points: Any,
    out: Any, first: Any, last: Any, lanes: Any,
) -> None:  # fmt: skip
    """Sum up sampled values, (tokens, heads, channels), for some queries.

    ``sizes`` are the levels' (Z, Y, X); a query has for each head, level and point a location
    (x, y, z), as a fraction of the map, and a weight. Trilinear, zeros outside.
    """
    levels = len(sizes)
    for number in range(first * heads, last * heads):
        to = number * channels
        out[to : to + channels] = 0
        start = 0
        for level in range(levels):
            nz, ny, nx = sizes[level, 0], sizes[level, 1], sizes[level, 2]
            for point in range(points):
                at = (number * levels + level) * points + point
                x = locations[3 * at] * np.float32(nx) - np.float32(0.5)
                y = locations[3 * at + 1] * np.float32(ny) - np.float32(0.5)
                z = locations[3 * at + 2] * np.float32(nz) - np.float32(0.5)
                if not (abs(x) < 1e9 and abs(y) < 1e9 and abs(z) < 1e9):
                    out[to : to + channels] = np.nan  # no number anywhere near the map
                    continue
                x0, y0, z0 = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
                for corner in range(8):
                    i, j, k = x0 + (corner & 1), y0 + (corner >> 1 & 1), z0 + (corner >> 2)
                    if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
                        continue
                    share = (
                        (np.float32(1) - abs(x - np.float32(i)))
                        * (np.float32(1) - abs(y - np.float32(j)))
                        * (np.float32(1) - abs(z - np.float32(k)))
                    )
                    row = ((start + (k * ny + j) * nx + i) * heads + number % heads) * channels
                    factor = share * weights[at]
                    if lanes == 16:
                        for c in range(0, channels, 16):
                            add_scaled(out, to + c, value, row + c, factor, 16)
                    elif lanes == 8:
                        for c in range(0, channels, 8):
                            add_scaled(out, to + c, value, row + c, factor, 8)
                    else:
                        for c in range(channels):
                            out[to + c] += factor * value[row + c]
            start += nz * ny * nx
