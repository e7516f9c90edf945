from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.inference import finish
from napari_hybridseg.inference.arithmetic import Arithmetic, DeviceArithmetic, HostArithmetic
from napari_hybridseg.inference.axis_tables import axis_table
from napari_hybridseg.inference.brick_sums import BrickAccumulator
from napari_hybridseg.inference.bricks import BrickWall
from napari_hybridseg.inference.finish import InferenceError, LabelFinisher
from napari_hybridseg.inference.windows import (
    Index,
    Shape,
    WindowGrid,
    importance_map,
    window_grid,
)

VALUES = np.array([0, 7, 300], dtype=np.uint16)
EMPTY = 9999
SIZES = st.tuples(*[st.integers(1, 14)] * 3)
CPU = torch.device("cpu")


def windows_of(grid: WindowGrid, seed: int = 0) -> dict[Index, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    in_monais_order = replace(grid, axes=(0, 1, 2), ends_together=False)
    return {
        index: torch.randn(len(VALUES), *grid.window, generator=generator)
        for index in in_monais_order.indices
    }


def whole(
    grid: WindowGrid, kind: str, windows: dict[Index, Tensor], shape: Shape, output: Shape
) -> tuple[np.ndarray, np.ndarray]:
    """Add up and interpolate in arrays of the whole volume: labels, and how clear they are."""
    importance = torch.from_numpy(importance_map(grid.window, kind))
    total, weight = torch.zeros(len(VALUES), *grid.padded), torch.zeros(grid.padded)
    for index, logits in windows.items():
        begin = (along[i] for along, i in zip(grid.along, index, strict=True))
        place = tuple(slice(b, b + n) for b, n in zip(begin, grid.window, strict=True))
        total[(slice(None), *place)] += logits * importance
        weight[place] += importance
    inside = tuple(slice(b, b + n) for b, n in zip(grid.before, shape, strict=True))
    means = (total / weight)[(slice(None), *inside)]
    if output != shape:
        means = functional.interpolate(means[None], size=output, mode="trilinear")[0]
    best = means.topk(2, dim=0).values
    return VALUES[means.argmax(dim=0).numpy()], (best[0] - best[1]).numpy()


def streamed(
    grid: WindowGrid,
    kind: str,
    windows: dict[Index, Tensor],
    shape: Shape,
    output: Shape,
    arithmetic: Arithmetic,
    move_after: int = -1,
    long_rows: bool = False,
) -> np.ndarray:
    tables = tuple(axis_table(n, m) for n, m in zip(shape, output, strict=True))
    finisher = LabelFinisher(grid.before, shape, tables, VALUES, arithmetic)  # type: ignore[arg-type]
    importance, count = importance_map(grid.window, kind), len(windows[0, 0, 0])
    wall = BrickWall(grid, long_rows)
    sums = BrickAccumulator(wall, importance, count, arithmetic, finisher.only_largest)
    labels = np.full(output, EMPTY, dtype=np.uint16)
    for number, index in enumerate(grid.indices):
        if number == move_after:
            sums.move_to(HostArithmetic(1))
            finisher.move_to(sums.arithmetic)
        for row in sums.rows(index):
            for brick in sums.add(index, row, sums.taken(windows[index])):
                box = finisher.take(brick)
                sums.release(brick)
                place = tuple(
                    slice(s, s + n) for s, n in zip(box.start, box.labels.shape, strict=True)
                )
                assert labels[place].shape == box.labels.shape
                assert (labels[place] == EMPTY).all(), "a voxel was given twice"
                labels[place] = box.labels
    assert not sums.held, "something is still held"
    assert not finisher.held
    return labels


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_bricks_are_the_whole_in_parts(data: st.DataObject) -> None:
    shape, output = data.draw(SIZES), data.draw(SIZES | st.none())
    window = data.draw(st.tuples(*[st.integers(1, 6)] * 3))
    overlap = data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.8]))
    kind = data.draw(st.sampled_from(["gaussian", "constant"]))
    axes = tuple(data.draw(st.permutations(range(3))))
    grid = replace(window_grid(shape, window, overlap), axes=axes)
    together = len(grid.along[axes[0]]) > 1 and data.draw(st.booleans())
    grid = replace(grid, ends_together=together)
    threads = data.draw(st.sampled_from([1, 2]))
    arithmetic = data.draw(st.sampled_from([DeviceArithmetic(CPU), HostArithmetic(threads)]))
    move_after = data.draw(st.integers(-1, len(grid)))
    output = output or shape
    planes = data.draw(st.sampled_from([1, 3, finish._PLANES]))  # at a time, on the way back

    windows = windows_of(grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "_PLANES", planes)
        long_rows = data.draw(st.booleans())
        labels = streamed(grid, kind, windows, shape, output, arithmetic, move_after, long_rows)
    arithmetic.close()

    expected, margin = whole(grid, kind, windows, shape, output)
    different = labels != expected
    assert margin[different].max(initial=0) < 1e-5  # only where two channels are as good as even


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_in_monais_order_every_sum_is_the_plain_formulas_to_the_last_bit(
    data: st.DataObject,
) -> None:
    shape = data.draw(SIZES)
    window = data.draw(st.tuples(*[st.integers(1, 7)] * 3))
    grid = window_grid(shape, window, data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.8])))
    long_rows = data.draw(st.booleans())
    arithmetic = HostArithmetic(data.draw(st.sampled_from([1, 2, 3])))
    # few numbers, so that many means are equal and the last bit decides
    windows = {index: (logits * 2).round() / 3 for index, logits in windows_of(grid).items()}
    labels = streamed(grid, "gaussian", windows, shape, shape, arithmetic, long_rows=long_rows)
    arithmetic.close()
    expected, _ = whole(grid, "gaussian", windows, shape, shape)
    np.testing.assert_array_equal(labels, expected)


def test_of_equals_the_first_wins() -> None:
    grid = window_grid((2, 3, 3), (2, 3, 3), 0)
    logits = torch.zeros(len(VALUES), 2, 3, 3)
    logits[0] = -1
    labels = streamed(
        grid, "constant", {(0, 0, 0): logits}, (2, 3, 3), (2, 3, 3), HostArithmetic(1)
    )
    assert set(labels.ravel()) == {7}


@pytest.mark.parametrize("output", [(2, 2, 2), (3, 4, 5)])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("arithmetic", [HostArithmetic(1), DeviceArithmetic(CPU)])
def test_an_answer_that_is_no_number_is_refused_not_labelled(
    arithmetic: Arithmetic, value: float, output: Shape
) -> None:
    grid = window_grid((2, 2, 2), (2, 2, 2), 0)
    logits = torch.zeros(len(VALUES), 2, 2, 2)
    logits[1, 0, 0, 0] = value
    with pytest.raises(InferenceError, match="float32"):
        streamed(grid, "constant", {(0, 0, 0): logits}, (2, 2, 2), output, arithmetic)
