from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.inference.accumulator import Slab
from napari_hybridseg.inference.finish import InferenceError, LabelFinisher, LabelRows
from napari_hybridseg.inference.windows import Shape, plan_windows

VALUES = np.array([0, 7, 300, 2], dtype=np.uint16)


def finished(logits: Tensor, window: Shape, working: Shape, output: Shape, cuts: list[int]):
    """Feed logits on the padded grid in slabs that end at the cuts."""
    finisher = LabelFinisher(plan_windows(working, window, 0.5), working, output, VALUES)
    rows: list[LabelRows] = []
    ends = [*sorted(cuts), logits.shape[1]]
    for start, end in zip([0, *ends], ends, strict=False):
        rows += finisher.feed(Slab(start, logits[:, start:end]))
    assert [r.start for r in rows] == list(np.cumsum([0, *(len(r.labels) for r in rows)])[:-1])
    return np.concatenate([r.labels for r in rows])


def whole(logits: Tensor, output: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate the whole volume: its labels, and by how much the best channel won."""
    large = functional.interpolate(logits[None], size=output, mode="trilinear")[0]
    best = large.topk(2, dim=0).values
    return VALUES[large.argmax(dim=0).numpy()], (best[0] - best[1]).numpy()


@settings(max_examples=80)
@given(data=st.data())
def test_rows_are_torchs_interpolation_of_the_whole(data: st.DataObject) -> None:
    sizes = st.tuples(*[st.integers(1, 9)] * 3)
    working, window, output = data.draw(sizes), data.draw(sizes), data.draw(sizes | st.just(None))
    output = output or working
    plan = plan_windows(working, window, 0.5)
    cuts = data.draw(st.lists(st.integers(0, plan.padded[0]), max_size=5))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    padded = torch.randn(len(VALUES), *plan.padded, generator=generator)
    z, y, x = (slice(b, b + n) for b, n in zip(plan.before, working, strict=True))

    labels = finished(padded, window, working, output, cuts)
    expected, margin = whole(padded[:, z, y, x], output)

    assert labels.shape == output
    assert labels.dtype == VALUES.dtype
    different = labels != expected
    assert margin[different].max(initial=0) < 1e-5  # only where two channels are as good as even


def test_large_steps_in_both_directions() -> None:
    logits = torch.randn(len(VALUES), 40, 4, 4, generator=torch.Generator().manual_seed(0))
    for depth in (1, 3, 39, 41, 200):
        labels = finished(logits, (40, 4, 4), (40, 4, 4), (depth, 4, 4), [7, 8, 30])
        np.testing.assert_array_equal(labels, whole(logits, (depth, 4, 4))[0])


def test_rows_come_as_early_as_they_are_known() -> None:
    plan = plan_windows((4, 1, 1), (4, 1, 1), 0.5)
    finisher = LabelFinisher(plan, (4, 1, 1), (8, 1, 1), VALUES)
    logits = torch.zeros(len(VALUES), 1, 1, 1)
    came = [
        [(rows.start, len(rows.labels)) for rows in finisher.feed(Slab(row, logits))]
        for row in range(4)
    ]
    # output row r lies at (r + 0.5) / 2 - 0.5: rows 0 ... 7 at -0.25, 0.25, 0.75, ... 3.25
    assert came == [[], [(0, 3)], [(3, 2)], [(5, 3)]]


def test_of_equals_the_first_wins() -> None:
    logits = torch.zeros(len(VALUES), 2, 3, 3)
    logits[0] = -1
    labels = finished(logits, (2, 3, 3), (2, 3, 3), (2, 3, 3), [])
    assert set(labels.ravel()) == {7}


def test_an_answer_that_is_no_number_is_refused_not_labelled() -> None:
    plan = plan_windows((2, 2, 2), (2, 2, 2), 0.5)
    finisher = LabelFinisher(plan, (2, 2, 2), (2, 2, 2), np.array([0, 1], dtype=np.uint8))
    logits = torch.zeros(2, 2, 2, 2)
    logits[1, 0, 0, 0] = torch.nan
    with pytest.raises(InferenceError, match="float32"):
        list(finisher.feed(Slab(0, logits)))
