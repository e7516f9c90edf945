"""Going to a voxel shows the voxel's own slice, wherever it lies and however the grid lies."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.geometry import Geometry
from napari_hybridseg.widgets.layer_geometry import LayerGrid
from napari_hybridseg.widgets.organ_tour import go_to

SIZES = ((6, 5, 4), (2, 7, 3), (9, 1, 8))
RANDOM_GRIDS = 6


def some_grid(number: int) -> Geometry:
    """Give an oblique, anisotropic grid far from the origin; the first is a plain one."""
    random = np.random.default_rng(number)
    direction = np.linalg.qr(random.normal(size=(3, 3)))[0] if number else np.eye(3)
    direction *= np.sign(np.linalg.det(direction))
    spacing = random.uniform(0.3, 5.0, 3) if number else np.ones(3)
    origin = random.uniform(-500, 500, 3) if number else np.zeros(3)
    size = SIZES[number % len(SIZES)]
    return Geometry(size, tuple(spacing), tuple(origin), tuple(direction.ravel()))


def shown(viewer: Any, number: int) -> Any:
    """Show a volume, on a grid of its own, whose voxels can be told apart."""
    canonical = some_grid(number).reoriented(some_grid(number).to_axis_codes("LPS"))
    grid = LayerGrid.of_canonical(canonical, canonical)
    array = np.arange(np.prod(canonical.shape), dtype=np.float32).reshape(canonical.shape)
    return viewer.add_image(grid.to_layer(array), **grid.placement())


def ends_and_middle(length: int) -> list[int]:
    return sorted({0, length // 2, length - 1})


def wrong_places(viewer: Any, layer: Any) -> list[tuple[Any, ...]]:
    """Visit first, middle and last voxels of each axis; tell those whose slice is not shown."""
    wrong = []
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        viewer.dims.order = order
        for voxel in product(*map(ends_and_middle, layer.data.shape)):
            go_to(viewer, layer.data_to_world(voxel))
            across = order[0]
            wanted = np.take(layer.data, voxel[across], axis=across)
            drawn = np.asarray(layer._slice.image.view)
            if not np.array_equal(np.sort(drawn, axis=None), np.sort(wanted, axis=None)):
                wrong.append((order, voxel))
    return wrong


@pytest.mark.parametrize("number", range(RANDOM_GRIDS))
def test_the_slice_of_every_corner_and_middle_is_shown(make_napari_viewer, number: int) -> None:
    viewer = make_napari_viewer()
    assert wrong_places(viewer, shown(viewer, number)) == []


@pytest.mark.parametrize("number", range(0, RANDOM_GRIDS, 3))
def test_what_lies_beside_the_volume_does_not_move_the_slices(
    make_napari_viewer, number: int
) -> None:
    """A window's outline or a sampling point widens the sliders by no whole number of steps."""
    viewer = make_napari_viewer()
    layer = shown(viewer, number)
    low, high = np.asarray(layer.extent.world)
    step = np.asarray(layer.scale)
    viewer.add_points([low - 1.37 * step, high + 2.81 * step])
    assert wrong_places(viewer, layer) == []
