"""Winograd's matrices filter as the definition does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hybridseg.inference.winograd.matrices import (
    DEEP,
    FLAT,
    FOUR,
    KINDS,
    ONE,
    SHALLOW,
    TWO,
    Axis,
    Tile,
    tile_for,
    transformed_filters,
)


@pytest.mark.parametrize("axis", [ONE, TWO, FOUR])
def test_a_tile_is_filtered_as_tap_by_tap(axis: Axis) -> None:
    draw = np.random.default_rng(0)
    values, taps = draw.normal(size=axis.inputs), draw.normal(size=axis.taps)
    expected = np.correlate(values, taps, "valid")
    products = (np.array(axis.filters_matrix) @ taps) * (np.array(axis.inputs_matrix) @ values)
    assert len(expected) == axis.outputs
    np.testing.assert_allclose(np.array(axis.outputs_matrix) @ products, expected, atol=1e-12)


@pytest.mark.parametrize("tile", KINDS)
def test_filters_are_transformed_along_every_axis(tile: Tile) -> None:
    taps = [axis.taps for axis in tile]
    weight = np.random.default_rng(0).normal(size=(2, 3, *taps)).astype(np.float32)
    z, y, x = (np.array(axis.filters_matrix) for axis in tile)
    found = transformed_filters(weight, tile)
    assert found.shape == (len(z) * len(y) * len(x), 3, 2)
    number = (1 % len(z) * len(y) + 2) * len(x) + 3
    expected = np.einsum("z,y,x,zyx", z[1 % len(z)], y[2], x[3], weight[1, 2])
    np.testing.assert_allclose(found[number, 2, 1], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("planes", "tile"), [(1, SHALLOW), (2, SHALLOW), (3, DEEP), (5, DEEP), (6, DEEP), (48, DEEP)]
)
def test_the_tile_with_the_fewest_products_is_chosen(planes: int, tile: Tile) -> None:
    assert tile_for((3, 3, 3), planes) == tile
    assert tile_for((1, 3, 3), planes) == FLAT
    assert tile_for((3, 3, 1), planes) is None
