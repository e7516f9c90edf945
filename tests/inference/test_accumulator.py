from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_hybridseg.inference.accumulator import Slab, SlabAccumulator
from napari_hybridseg.inference.windows import WindowPlan, importance_map, plan_windows

CLASSES = 2


def windows_of(plan: WindowPlan, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(CLASSES, *plan.window, generator=generator) for _ in plan.starts]


def all_at_once(plan: WindowPlan, importance: Tensor, windows: list[Tensor]) -> Tensor:
    """Add up in an array of the whole volume, as MONAI does."""
    total, weight = torch.zeros(CLASSES, *plan.padded), torch.zeros(plan.padded)
    for start, logits in zip(plan.starts, windows, strict=True):
        place = tuple(slice(s, s + n) for s, n in zip(start, plan.window, strict=True))
        total[(slice(None), *place)] += logits * importance
        weight[place] += importance
    return total / weight


def streamed(plan: WindowPlan, importance: Tensor, windows: list[Tensor]) -> list[Slab]:
    accumulator = SlabAccumulator(plan, importance, CLASSES)
    slabs = []
    for start, logits in zip(plan.starts, windows, strict=True):
        slabs += accumulator.add(start, logits)
    return slabs + list(accumulator.finish())


@settings(max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 14)] * 3),
    window=st.tuples(*[st.integers(1, 6)] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.8]),
    kind=st.sampled_from(["gaussian", "constant"]),
)
def test_slabs_are_the_whole_in_parts(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float, kind: str
) -> None:
    plan = plan_windows(shape, window, overlap)
    importance = torch.from_numpy(importance_map(window, kind))
    windows = windows_of(plan, 0)
    slabs = streamed(plan, importance, windows)
    assert [slab.start for slab in slabs] == list(
        np.cumsum([0] + [slab.logits.shape[1] for slab in slabs])[:-1]
    )
    together = torch.cat([slab.logits for slab in slabs], dim=1)
    torch.testing.assert_close(
        together, all_at_once(plan, importance, windows), rtol=1e-5, atol=1e-5
    )


def test_a_slab_comes_as_soon_as_no_window_can_change_it() -> None:
    plan = plan_windows((8, 2, 2), (4, 2, 2), 0.5)
    assert [start[0] for start in plan.starts] == [0, 2, 4]
    accumulator = SlabAccumulator(plan, torch.ones(plan.window), 1)
    came = [
        [
            (slab.start, slab.logits.shape[1])
            for slab in accumulator.add(start, torch.ones(1, 4, 2, 2))
        ]
        for start in plan.starts
    ]
    assert came == [[], [(0, 2)], [(2, 2)]]
    assert [(slab.start, slab.logits.shape[1]) for slab in accumulator.finish()] == [(4, 4)]


def test_a_slab_does_not_change_later() -> None:
    plan = plan_windows((12, 2, 2), (4, 2, 2), 0.5)
    accumulator = SlabAccumulator(plan, torch.ones(plan.window), 1)
    kept = []
    for number, start in enumerate(plan.starts):
        for slab in accumulator.add(start, torch.full((1, 4, 2, 2), float(number))):
            kept.append((slab.logits, slab.logits.clone()))
    assert kept
    for slab, copy in kept:
        assert torch.equal(slab, copy)


def test_half_precision_is_added_up_in_full() -> None:
    plan = plan_windows((2, 2, 2), (2, 2, 2), 0)
    accumulator = SlabAccumulator(plan, torch.ones(plan.window), 1)
    list(accumulator.add((0, 0, 0), torch.ones(1, 2, 2, 2, dtype=torch.float16)))
    assert next(accumulator.finish()).logits.dtype == torch.float32
