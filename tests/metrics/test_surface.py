"""The compiled loops give what plain numpy gives."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from metric_cases import balls, border_voxels, brute_distances, label_map_pairs

from napari_hybridseg.metrics import score_arrays, surface

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def all_distances(a, b, spacing, threads=2):
    with ThreadPoolExecutor(threads) as pool:
        counts = surface.count_labels(a, b, pool, threads)
        labels = [n for n in counts.present if min(counts.of(n)[:2])]
        borders = surface.collect_borders(a, b, counts, labels, pool)
        lists = {
            label: tuple(
                surface.directed_distances(x[label], y[label], a.shape[1], spacing, pool)
                for x, y in (borders, borders[::-1])
            )
            for label in labels
        }
    return counts, borders, lists


@relaxed
@given(label_map_pairs())
def test_counts_are_those_of_numpy(case) -> None:
    a, b, spacing = case
    counts, _, _ = all_distances(a, b, spacing)
    present = np.union1d(a, b)
    assert counts.present == tuple(present[present > 0])
    for label in range(1, 5):
        expected = (a == label).sum(), (b == label).sum(), ((a == label) & (b == label)).sum()
        assert counts.of(label) == expected


@relaxed
@given(label_map_pairs())
def test_borders_are_mask_without_erosion(case) -> None:
    a, b, spacing = case
    _, borders, _ = all_distances(a, b, spacing)
    for label_map, found in zip((a, b), borders, strict=True):
        for label, border in found.items():
            z, y = np.divmod(border.rows, a.shape[1])
            voxels = np.stack((z, y, border.columns), axis=1)
            np.testing.assert_array_equal(voxels, border_voxels(label_map == label))


@relaxed
@given(label_map_pairs())
def test_distances_are_the_least_of_all(case) -> None:
    a, b, spacing = case
    _, _, lists = all_distances(a, b, spacing)
    for label, (there, back) in lists.items():
        np.testing.assert_array_equal(there, brute_distances(a == label, b == label, spacing))
        np.testing.assert_array_equal(back, brute_distances(b == label, a == label, spacing))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (0.5, 2.0, 3.0)])
def test_far_islands_are_found_exactly(spacing) -> None:
    a, b = np.zeros((2, 40, 60, 90), np.uint8)
    a[3:6, 3:9, 3:9] = 1
    a[33:38, 50:58, 75:88] = 1
    a[20, 5, 80] = 1
    b[4:7, 4:9, 2:9] = 1
    _, _, lists = all_distances(a, b, spacing)
    np.testing.assert_array_equal(lists[1][0], brute_distances(a == 1, b == 1, spacing))
    np.testing.assert_array_equal(lists[1][1], brute_distances(b == 1, a == 1, spacing))


def test_a_border_inside_a_shell_is_found_exactly() -> None:
    a, b = np.zeros((2, 31, 31, 31), np.uint8)
    a[:], a[1:-1, 1:-1, 1:-1], b[14:17, 14:17, 14:17] = 1, 0, 1
    _, _, lists = all_distances(a, b, (1.0, 0.8, 1.3))
    np.testing.assert_array_equal(lists[1][1], brute_distances(b == 1, a == 1, (1.0, 0.8, 1.3)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (1, 9, 1), (9, 1, 1), (1, 2, 200)])
def test_maps_of_single_voxels_rows_and_slices(shape) -> None:
    a, b = np.ones((2, *shape), np.uint8)
    a[..., shape[2] // 2 + 1 :] = 0
    _, _, lists = all_distances(a, b, (2.0, 1.0, 3.0))
    np.testing.assert_array_equal(lists[1][1], brute_distances(b == 1, a == 1, (2.0, 1.0, 3.0)))


def test_long_lists_are_searched_in_parts_with_the_same_result(monkeypatch) -> None:
    a, b = balls((20, 40, 70))
    spacing = (1.5, 0.75, 0.75)
    _, _, whole = all_distances(a, b, spacing)
    monkeypatch.setattr(surface, "_QUERIES_PER_TASK", 7)
    _, _, parts = all_distances(a, b, spacing, threads=3)
    for label, lists in whole.items():
        for one, other in zip(lists, parts[label], strict=True):
            np.testing.assert_array_equal(one, other)


def test_scoring_from_several_threads_at_once() -> None:
    cases = [balls((16, 30, 40), seed=seed) for seed in range(6)]
    alone = [score_arrays(a, b, (2.0, 1.0, 1.0), threads=1) for a, b in cases]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda c: score_arrays(*c, (2.0, 1.0, 1.0), threads=2), cases))
    assert together == alone


def test_label_numbers_may_be_sparse_and_large() -> None:
    a, b = balls((12, 30, 40), labels=3)
    sparse = np.array([0, 7, 999, 65535], np.uint16)
    small, large = (
        score_arrays(x, y, (2.0, 1.0, 1.0)) for x, y in ((a, b), (sparse[a], sparse[b]))
    )
    assert [organ.label for organ in large.organs] == [7, 999, 65535]
    plain = {"label", "name"}
    for one, other in zip(small.organs, large.organs, strict=True):
        assert one.model_dump(exclude=plain) == other.model_dump(exclude=plain)


def test_scoring_copies_no_map() -> None:
    a = np.zeros((64, 256, 256), np.uint8)
    a[20:40, 100:140, 100:140] = 1
    b = np.roll(a, 2, axis=2)
    score_arrays(a, b, (2.0, 1.0, 1.0))
    tracemalloc.start()
    score_arrays(a, b, (2.0, 1.0, 1.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < a.nbytes / 4


def test_memory_maps_need_no_compilation_of_their_own(tmp_path) -> None:
    a, b = balls((8, 20, 24))
    np.save(tmp_path / "a.npy", a)
    expected = score_arrays(a, b, (2.0, 1.0, 1.0))
    compiled = list(surface.kernels.count_planes.signatures)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert score_arrays(mapped, b, (2.0, 1.0, 1.0)) == expected
    assert surface.kernels.count_planes.signatures == compiled
