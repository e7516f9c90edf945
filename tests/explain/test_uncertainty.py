from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from explain_support import make, noise, run
from helpers import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.inferers import sliding_window_inference
from scipy import ndimage

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import HeatMap
from napari_hybridseg.explain.regions import uncertain_regions
from napari_hybridseg.explain.uncertainty import entropy_of
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.model_card import Preprocessing


def monais_logits(volume: object, checkpoint: Checkpoint) -> torch.Tensor:
    """Blend logits with MONAI, (K, Z, Y, X) on the network's grid."""
    prepared = prepare(volume, checkpoint.card.preprocessing)  # type: ignore[arg-type]
    with torch.inference_mode():
        return sliding_window_inference(
            torch.from_numpy(prepared.array)[None],
            checkpoint.card.windows.size,
            1,
            checkpoint.build_network(),
            overlap=0.5,
            mode="gaussian",
        )[0]


@pytest.mark.parametrize("shape", [(8, 8, 8), (13, 17, 9), (5, 20, 11)])
def test_entropy_and_margin_are_those_of_monais_logits(
    small: Callable[[str], Checkpoint], shape: tuple[int, int, int]
) -> None:
    volume = noise(shape, order=11)
    answer = monais_logits(volume, small("unet")).softmax(dim=0).double()
    expected = -(answer * answer.log()).sum(dim=0).numpy()
    found = run(volume, small("unet"), "entropy")
    (heat,) = found.products
    np.testing.assert_allclose(heat.array, expected, atol=2e-5)
    assert 0 <= heat.array.min() <= heat.array.max() <= log(4) + 1e-6
    assert found.facts["mean entropy, nat"] == pytest.approx(expected.mean(), rel=1e-3)
    first, second = answer.topk(2, dim=0).values.numpy()
    (margin,) = run(volume, small("unet"), "margin").products
    np.testing.assert_allclose(margin.array, first - second, atol=2e-5)


def test_another_spacing_is_undone_on_the_logits(tmp_path: Path) -> None:
    checkpoint = make(tmp_path, "unet", preprocessing=Preprocessing(spacing=(0.7, 2.5, 1.1)))
    volume = noise((11, 10, 12))
    logits = monais_logits(volume, checkpoint)
    assert logits.shape[1:] != volume.geometry.shape
    resized = torch.nn.functional.interpolate(
        logits[None], size=volume.geometry.shape, mode="trilinear"
    )[0]
    expected = entropy_of(resized.softmax(dim=0)).numpy()
    (heat,) = run(volume, checkpoint, "entropy").products
    np.testing.assert_allclose(heat.array, expected, atol=5e-5)


def test_a_volume_cropped_to_the_patient_is_sure_outside(tmp_path: Path) -> None:
    checkpoint = make(tmp_path, "unet", preprocessing=Preprocessing(crop_to_nonzero=True))
    inner = noise((8, 8, 8))
    array = np.zeros((12, 14, 11), np.float32)
    array[2:10, 3:11, 1:9] = inner.array[0]
    from explain_support import volume_of

    (heat,) = run(volume_of(array), checkpoint, "entropy").products
    assert heat.array[2:10, 3:11, 1:9].min() > 0
    heat.array[2:10, 3:11, 1:9] = 0
    assert not heat.array.any()


def test_mirrored_copies_disagree_by_the_mutual_information(
    small: Callable[[str], Checkpoint],
) -> None:
    volume, checkpoint = noise((8, 8, 8)), small("unet")
    image = torch.from_numpy(prepare(volume, Preprocessing()).array)[None]
    network = checkpoint.build_network()
    with torch.inference_mode():
        answers = torch.stack(
            [
                network(image.flip(axes)).flip(axes)[0].softmax(dim=0)
                for axes in ([], [3], [4], [3, 4])
            ]
        ).double()
    doubt = -(answers * answers.log()).sum(dim=1).mean(dim=0)
    mean = answers.mean(dim=0)
    expected = (-(mean * mean.log()).sum(dim=0) - doubt).numpy()
    (heat,) = run(volume, checkpoint, "mirror-disagreement").products
    np.testing.assert_allclose(heat.array, expected, atol=1e-5)
    assert heat.array.max() > 1e-3


def heat_of(array: np.ndarray) -> HeatMap:
    geometry = grid(array.shape, spacing=(0.5, 2.0, 3.0), angles=(10, 20, -30))
    return HeatMap(geometry, geometry, array.astype(np.float32), "entropy")


def test_regions_are_ordered_by_summed_entropy_and_placed_in_millimetres() -> None:
    array = np.zeros((6, 8, 10))
    array[1, 1, 1:3] = (0.8, 0.4)
    array[4:6, 5, 5] = 0.9
    array[0, 7, 9] = 0.5
    heat = heat_of(array)
    table, labels = uncertain_regions(heat, 0.3)
    assert [region.number for region in table.regions] == [1, 2, 3]
    first, second, third = table.regions
    assert labels.array[4, 5, 5] == 1
    assert labels.array[1, 1, 1] == labels.array[1, 1, 2] == 2
    np.testing.assert_allclose(first.centroid_mm, heat.geometry.world(np.array([4.5, 5, 5])))
    np.testing.assert_allclose(
        second.centroid_mm, heat.geometry.world(np.array([1, 1, 4 / 3])), rtol=1e-5
    )
    np.testing.assert_allclose(second.peak_mm, heat.geometry.world(np.array([1, 1, 1])))
    assert second.size_ml == pytest.approx(2 * 3.0 / 1000)
    assert second.mean_entropy == pytest.approx(0.6)
    table, labels = uncertain_regions(heat, 0.3, smallest_ml=0.004)
    assert [region.size_ml for region in table.regions] == pytest.approx([0.006, 0.006])
    assert labels.array[0, 7, 9] == 0
    assert third.mean_entropy == pytest.approx(0.5)


@settings(max_examples=40)
@given(arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_regions_hold_every_voxel_above_the_threshold(array: np.ndarray, threshold: float) -> None:
    heat = heat_of(array)
    table, labels = uncertain_regions(heat, threshold)
    np.testing.assert_array_equal(labels.array > 0, array > threshold)
    _, count = ndimage.label(array > threshold, structure=np.ones((3, 3, 3)))
    assert len(table.regions) == count
    sums = [r.mean_entropy * r.size_ml for r in table.regions]
    assert sums == sorted(sums, reverse=True) or np.allclose(sums, sorted(sums, reverse=True))
    for region in table.regions:
        z, y, x = np.rint(heat.geometry.index(np.array(region.peak_mm))).astype(int)
        assert labels.array[z, y, x] == region.number


@settings(max_examples=40)
@given(
    arrays(np.float32, (4, 5, 6), elements=st.floats(0, 1, width=32)),
    st.floats(0.1, 0.9),
    st.floats(1, 12),
)
def test_parts_stay_near_their_peaks_and_keep_peaks_apart(
    array: np.ndarray, threshold: float, apart_mm: float
) -> None:
    heat = heat_of(array)
    table, labels = uncertain_regions(heat, threshold, apart_mm=apart_mm)
    whole, _ = ndimage.label(array > threshold, structure=np.ones((3, 3, 3)))
    np.testing.assert_array_equal(labels.array > 0, whole > 0)
    peaks: dict[int, list[np.ndarray]] = {}
    for region in table.regions:
        mine = np.argwhere(labels.array == region.number)
        (component,) = np.unique(whole[tuple(mine.T)])
        peak = np.array(region.peak_mm)
        away = np.linalg.norm(heat.geometry.world(mine) - peak, axis=1)
        assert away.max() <= apart_mm + 1e-6
        place = tuple(np.rint(heat.geometry.index(peak)).astype(int))
        assert heat.array[place] == heat.array[tuple(mine.T)].max()
        for other in peaks.setdefault(int(component), []):
            assert np.linalg.norm(peak - other) > apart_mm - 1e-6
        peaks[int(component)].append(peak)
    assert {int(n) for n in np.unique(whole) if n} == set(peaks)


def test_a_rim_is_visited_in_parts() -> None:
    array = np.zeros((3, 3, 40), np.float32)
    array[1, 1] = 0.5
    array[1, 1, [3, 20, 36]] = (0.9, 0.7, 0.8)
    geometry = grid(array.shape, spacing=(1.0, 1.0, 1.0))
    heat = HeatMap(geometry, geometry, array, "entropy")
    assert len(uncertain_regions(heat, 0.3)[0].regions) == 1
    table, labels = uncertain_regions(heat, 0.3, apart_mm=12)
    peaks = {round(float(geometry.index(np.array(r.peak_mm))[2])) for r in table.regions}
    assert peaks == {3, 20, 36}
    line = labels.array[1, 1].tolist()
    assert len(set(line)) == 3
    assert set(line[:16]) == {line[3]}
    assert set(line[24:]) == {line[36]}


def test_a_sure_network_has_no_regions() -> None:
    table, labels = uncertain_regions(heat_of(np.zeros((2, 3, 4))), 0.5)
    assert table.regions == ()
    assert not labels.array.any()
