from __future__ import annotations

from collections import defaultdict
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.inference.bricks import BrickWall, lightest_order
from napari_hybridseg.inference.windows import plan_windows, window_grid

FLOAT = 4


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    window=st.tuples(*[st.integers(1, 12)] * 3),
    overlap=st.sampled_from([0.0, 0.3, 0.5, 0.75]),
)
def test_every_brick_is_completed_once_by_its_last_window(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    grid = lightest_order(window_grid(shape, window, overlap), 10_000_000)
    wall = BrickWall(grid)
    turn = {index: number for number, index in enumerate(grid.indices)}
    assert sorted(grid.starts) == list(plan_windows(shape, window, overlap).starts)
    touching = defaultdict(list)
    for index in grid.indices:
        for brick in wall.touched(index):
            touching[brick].append(index)
    held, most, completed = set(), 0, set()
    for index in grid.indices:
        held |= set(wall.touched(index))
        most = max(most, sum(prod(wall.box(brick)[1]) for brick in held))
        for brick in [b for b in wall.touched(index) if wall.is_completed(index, b)]:
            assert sorted(touching[brick]) == list(wall.windows_of(brick))
            assert max(turn[i] for i in touching[brick]) == turn[index]
            held.remove(brick)
            completed.add(brick)
        if len(completed) > 40:
            return
    assert not held
    assert len(completed) == prod(len(chunk.cuts) - 1 for chunk in wall.chunks)
    assert most == wall.most_voxels()


@pytest.mark.parametrize(
    ("shape", "overlap", "most_mb"),
    [((300, 512, 512), 0.5, 510), ((512, 512, 300), 0.5, 510), ((300, 512, 512), 0.25, 290)],
)
def test_a_large_scan_with_14_classes_is_held_in_half_a_gigabyte(
    shape: tuple[int, int, int], overlap: float, most_mb: int
) -> None:
    grid = lightest_order(window_grid(shape, (96, 96, 96), overlap), 14)
    assert BrickWall(grid).most_voxels() * 14 * FLOAT < most_mb * 1e6
    assert prod(shape) * 14 * FLOAT > 4.4e9


def test_a_small_run_keeps_monais_order() -> None:
    grid = window_grid((160, 160, 160), (96, 96, 96), 0.5)
    assert lightest_order(grid, 14) == grid
    assert list(grid.starts) == sorted(grid.starts)


def test_a_2d_network_goes_along_its_slices_when_it_matters() -> None:
    grid = lightest_order(window_grid((600, 600, 500), (256, 256, 1), 0.5), 200)
    assert grid.axes[0] == 2
    assert BrickWall(grid).most_voxels() <= 600 * 600 * 1
    assert np.diff(grid.along[2]).max() == 1
