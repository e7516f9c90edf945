from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers.utils import _get_scan_interval

from napari_hybridseg.inference.windows import importance_map, plan_windows

SIZES = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=200)
@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    window=SIZES,
    overlap=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 0.99]),
)
def test_the_windows_are_monais(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    plan = plan_windows(shape, window, overlap)
    assert plan.padded == tuple(np.maximum(shape, window))
    interval = _get_scan_interval(plan.padded, window, 3, (overlap,) * 3)
    theirs = [
        tuple(part.start for part in place)
        for place in dense_patch_slices(plan.padded, window, interval)
    ]
    assert list(plan.starts) == theirs
    assert len(plan) == len(theirs)


@given(shape=st.tuples(*[st.integers(1, 30)] * 3), window=SIZES, overlap=st.floats(0, 0.99))
def test_every_voxel_is_seen_and_no_window_twice(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    plan = plan_windows(shape, window, overlap)
    for axis in range(3):
        starts = sorted({start[axis] for start in plan.starts})
        assert starts[0] == 0
        assert starts[-1] + window[axis] == plan.padded[axis]
        assert all(b - a <= window[axis] for a, b in itertools.pairwise(starts))
    assert len(set(plan.starts)) == len(plan)
    assert list(plan.starts) == sorted(plan.starts)


def test_padding_is_shared_between_both_sides() -> None:
    plan = plan_windows((5, 8, 3), (8, 8, 4), 0.5)
    assert plan.padded == (8, 8, 4)
    assert plan.before == (1, 0, 0)
    assert plan.starts == ((0, 0, 0),)


@given(window=SIZES, kind=st.sampled_from(["gaussian", "constant"]))
def test_the_importance_is_monais(window: tuple[int, int, int], kind: str) -> None:
    ours = importance_map(window, kind)
    theirs = compute_importance_map(window, mode=kind, sigma_scale=0.125).numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)


@pytest.mark.parametrize("window", [(32, 128, 128), (96, 96, 96), (1, 256, 256)])
def test_the_importance_of_real_windows_is_monais(window: tuple[int, int, int]) -> None:
    theirs = compute_importance_map(window, mode="gaussian").numpy()
    np.testing.assert_allclose(importance_map(window, "gaussian"), theirs, rtol=2e-5)
