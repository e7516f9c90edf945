from __future__ import annotations

import numpy as np
import pytest
import torch
from explain_support import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.explain.cells import Cells
from napari_hybridseg.explain.rows import CanonicalRows
from napari_hybridseg.explain.slabs import Slab, SlabMeans
from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.inference.windows import plan_windows
from napari_hybridseg.model_card import Preprocessing

STRIDES = st.sampled_from([(1, 1, 1), (2, 4, 4), (1, 8, 8), (4, 2, 8)])


@settings(max_examples=60)
@given(st.tuples(*[st.integers(1, 40)] * 3), STRIDES, st.floats(0, 0.8))
def test_windows_cover_the_volume_in_whole_cells(
    shape: tuple[int, int, int], stride: tuple[int, int, int], overlap: float
) -> None:
    window = (8, 16, 8)
    cells = Cells.laid(shape, window, overlap, stride)
    plan, coarse = cells.voxels, cells.at(stride)
    covered = np.zeros(plan.padded, dtype=bool)
    for start in plan.starts:
        z, y, x = (slice(s, s + n) for s, n in zip(start, window, strict=True))
        assert covered[z, y, x].shape == window
        covered[z, y, x] = True
        assert all(s % c == 0 for s, c in zip(start, stride, strict=True))
    assert covered.all()
    assert all(p >= n + b for p, n, b in zip(plan.padded, shape, plan.before, strict=True))
    assert len(coarse) == len(plan)
    if stride == (1, 1, 1):
        assert set(plan.starts) == set(plan_windows(shape, window, overlap).starts)


def test_windows_that_are_no_whole_cells_are_refused() -> None:
    with pytest.raises(ExplainError, match="no whole number of cells"):
        Cells.laid((20, 20, 20), (8, 10, 8), 0.5, (1, 4, 4))


@settings(max_examples=30)
@given(st.tuples(*[st.integers(3, 20)] * 3), STRIDES, st.integers(0, 3))
def test_slabs_are_the_weighted_mean(
    shape: tuple[int, int, int], stride: tuple[int, int, int], seed: int
) -> None:
    cells = Cells.laid(shape, (8, 16, 8), 0.5, stride)
    coarse, weight = cells.at(stride), cells.importance(stride, "gaussian")
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros((2, *coarse.padded), dtype=torch.float64)
    count = torch.zeros(coarse.padded, dtype=torch.float64)
    means, slabs = SlabMeans(coarse, weight, 2), []
    for start in coarse.starts:
        values = torch.randn((2, *coarse.window), generator=random)
        slabs += list(means.add(start, values))
        z, y, x = (slice(s, s + n) for s, n in zip(start, coarse.window, strict=True))
        total[:, z, y, x] += values * weight
        count[z, y, x] += weight
    slabs += list(means.finish())
    joined = torch.cat([slab.values for slab in slabs], dim=1)
    assert next(slab.start for slab in slabs) == 0
    torch.testing.assert_close(joined.double(), total / count, rtol=1e-4, atol=1e-5)


@settings(max_examples=20)
@given(st.tuples(*[st.integers(3, 30)] * 3), STRIDES, st.floats(0, 0.8), st.integers(0, 3))
def test_slabs_that_are_reduced_are_the_reduced_means(
    shape: tuple[int, int, int], stride: tuple[int, int, int], overlap: float, seed: int
) -> None:
    cells = Cells.laid(shape, (8, 16, 8), overlap, stride)
    coarse, weight = cells.at(stride), cells.importance(stride, "gaussian")
    random = torch.Generator().manual_seed(seed)
    bare = SlabMeans(coarse, weight, 3)
    reduced = SlabMeans(coarse, weight, 3, lambda values: values.argmax(dim=0))
    whole, single = [], []
    for start in coarse.starts:
        values = torch.randn((3, *coarse.window), generator=random)
        whole += list(bare.add(start, values))
        single += list(reduced.add(start, values))
    whole += list(bare.finish())
    single += list(reduced.finish())
    assert [slab.start for slab in single] == [slab.start for slab in whole]
    for means, found in zip(whole, single, strict=True):
        assert torch.equal(found.values, means.values.argmax(dim=0, keepdim=True))


@settings(max_examples=25)
@given(
    st.tuples(st.integers(3, 20), st.integers(20, 60), st.integers(3, 20)),
    STRIDES,
    st.floats(0, 0.8),
    st.booleans(),
    st.sampled_from([0.6, 1.0, 2.3]),
)
def test_bands_make_the_same_map(
    shape: tuple[int, int, int],
    stride: tuple[int, int, int],
    overlap: float,
    linear: bool,
    spacing: float,
) -> None:
    volume = noise(shape)
    prepared = prepare(volume, Preprocessing(spacing=(spacing,) * 3))
    cells = Cells.laid(prepared.working.shape, (8, 16, 8), overlap, stride)
    coarse, weight = cells.at(stride), cells.importance(stride, "gaussian")
    arrays = []
    for cuts in ((0,), cells.cuts(stride)):
        random = torch.Generator().manual_seed(0)
        array = np.full(shape, -1, np.float32)
        rows = CanonicalRows(prepared, cells.voxels, array, _product, stride=stride, linear=linear)
        means = SlabMeans(coarse, weight, 2, cuts=cuts)
        for start in coarse.starts:
            for slab in means.add(start, torch.rand((2, *coarse.window), generator=random)):
                rows.feed(slab)
        for slab in means.finish():
            rows.feed(slab)
        arrays.append(array)
    assert arrays[0].min() >= 0
    np.testing.assert_array_equal(*arrays)


def test_of_a_band_that_waits_only_shared_rows_are_held() -> None:
    cells = Cells.laid((20, 64, 8), (8, 16, 8), 0.25)
    means = SlabMeans(cells.voxels, cells.importance((1, 1, 1), "constant"), 1, cuts=(0, 24, 48))
    held = []
    for start in cells.voxels.starts:
        for _ in means.add(start, torch.ones((1, 8, 16, 8))):
            pass
        held.append(means.held)
    # all rows of a layer for two bands, and 2 of the others
    assert cells.voxels.layers == ((0,), (6, 12))
    assert max(held) <= (14 * 48 + 2 * 64) * 8


def _product(values: torch.Tensor) -> torch.Tensor:
    return values[0] * values[1]


@settings(max_examples=20)
@given(st.integers(1, 9), st.booleans(), st.sampled_from([0.6, 1.0, 2.3]))
def test_rows_do_not_depend_on_how_thick_slabs_are(
    thickness: int, linear: bool, spacing: float
) -> None:
    volume, stride = noise((9, 14, 11)), (2, 4, 4)
    prepared = prepare(volume, Preprocessing(spacing=(spacing,) * 3))
    cells = Cells.laid(prepared.working.shape, (8, 16, 16), 0.5, stride)
    depth = cells.at(stride).padded[0]
    values = torch.rand((1, *cells.at(stride).padded))
    arrays = []
    for step in (depth, thickness):
        array = np.full(volume.geometry.shape, -1, np.float32)
        rows = CanonicalRows(
            prepared, cells.voxels, array, lambda v: v[0], stride=stride, linear=linear
        )
        for start in range(0, depth, step):
            rows.feed(Slab(start, values[:, start : start + step]))
        arrays.append(array)
    assert arrays[0].min() >= 0
    np.testing.assert_array_equal(*arrays)


@pytest.mark.parametrize("order", [0, 13, 47])
@pytest.mark.parametrize("linear", [False, True])
def test_rows_of_voxels_come_back_to_the_canonical_grid(order: int, linear: bool) -> None:
    volume = noise((7, 9, 6), order=order)
    prepared = prepare(volume, Preprocessing(orientation="RAS"))
    plan = Cells.laid(prepared.working.shape, (8, 8, 8), 0.5).voxels
    array = np.zeros(volume.geometry.shape, np.float32)
    rows = CanonicalRows(prepared, plan, array, lambda v: v[0], linear=linear)
    padded = np.zeros((1, *plan.padded), np.float32)
    z, y, x = (slice(b, b + n) for b, n in zip(plan.before, prepared.array.shape[1:], strict=True))
    padded[:, z, y, x] = prepared.array
    for start in range(0, plan.padded[0], 3):
        rows.feed(Slab(start, torch.from_numpy(padded[:, start : start + 3])))
    np.testing.assert_allclose(array, prepare(volume, Preprocessing()).array[0], atol=1e-6)


def test_a_coarse_cell_fills_its_voxels_at_another_spacing() -> None:
    """Compare with asking for every voxel's place by its millimetres."""
    volume = noise((9, 14, 11), angles=(10, 0, 30))
    prepared = prepare(volume, Preprocessing(spacing=(1.4, 1.4, 1.4)))
    stride = (2, 4, 4)
    cells = Cells.laid(prepared.working.shape, (8, 16, 16), 0.5, stride)
    values = torch.rand((1, *cells.at(stride).padded))
    array = np.zeros(volume.geometry.shape, np.float32)
    rows = CanonicalRows(prepared, cells.voxels, array, lambda v: v[0], stride=stride)
    rows.feed(Slab(0, values))
    where = np.stack(np.indices(volume.geometry.shape), axis=-1).reshape(-1, 3)
    inside = prepared.working.index(volume.geometry.world(where.astype(float)))
    inside = np.clip(inside, 0, np.array(prepared.working.shape) - 1)
    voxel = inside + np.array(cells.voxels.before) + 0.5
    # a voxel centre on the border between two cells may fall to either side by rounding
    clear = np.abs(voxel / stride - np.rint(voxel / stride)).min(axis=1) > 1e-6
    z, y, x = (voxel // stride).astype(int).T
    expected = values[0].numpy()[z, y, x]
    np.testing.assert_array_equal(array.ravel()[clear], expected[clear])
