"""What makes a repair quick: nearness without a distance transform, answers that are kept."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from correction_support import value
from helpers import random_volume, tiny_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.assist import region
from napari_hybridseg.corrections.assist.jobs import get_ready
from napari_hybridseg.corrections.assist.nearness import border_nearness
from napari_hybridseg.corrections.assist.region import RegionPredictor, last_of
from napari_hybridseg.corrections.assist.repair import repair
from napari_hybridseg.corrections.assist.spreading import _depths
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import places_of
from napari_hybridseg.engine.jobs import Region
from napari_hybridseg.inference import SegmentOptions
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import WindowDefaults

CPU = SegmentOptions(device="cpu", threads=1)
EDGES = st.sampled_from([0.7, 1.0, 3.0, 4.7])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    spacing=st.tuples(EDGES, EDGES, EDGES),
    smooth=st.sampled_from([0.0, 1.0, 3.0]),
    farthest=st.sampled_from([0.5, 2.5, 6.0]),
)
def test_nearness_is_the_distance_transform_as_far_as_it_goes(
    seed: int, spacing: tuple[float, float, float], smooth: float, farthest: float
) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(7, 9, 8)), smooth)
    index = np.digitize(noise / noise.std(), [-0.5, 0.5])
    found = border_nearness(index, 4, spacing, farthest)
    for label in range(4):
        own = index == label
        inside = ndimage.distance_transform_edt(own, sampling=spacing)
        outside = ndimage.distance_transform_edt(~own, sampling=spacing)
        signed = (inside - outside) if own.any() else np.full(own.shape, -farthest)
        if own.all():
            signed = np.full(own.shape, farthest)
        expected = np.clip(signed, -farthest, farthest)
        np.testing.assert_allclose(found[label], expected, atol=1e-5)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    spacing=st.tuples(EDGES, EDGES, EDGES),
    smooth=st.sampled_from([0.0, 1.0, 3.0]),
)
def test_depths_of_seeds_are_the_distance_transform(
    seed: int, spacing: tuple[float, float, float], smooth: float
) -> None:
    random = np.random.default_rng(seed)
    agreeing = ndimage.gaussian_filter(random.normal(size=(7, 9, 8)), smooth) > 0
    agreeing[tuple(random.integers(0, agreeing.shape))] = True
    away = ndimage.distance_transform_edt(~agreeing, sampling=spacing)
    seeds = random.integers(0, agreeing.shape, (20, 3))
    np.testing.assert_allclose(_depths(seeds, agreeing, spacing), away[tuple(seeds.T)], rtol=1e-12)


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    many=st.integers(0, 5),
    seed=st.integers(0, 10_000),
    is_flipped=st.booleans(),
)
def test_the_few_voxels_of_strokes_are_found_in_order(
    shape: tuple[int, int, int], many: int, seed: int, is_flipped: bool
) -> None:
    random = np.random.default_rng(seed)
    array = np.zeros(shape, np.uint16)
    for _ in range(many):
        array[tuple(random.integers(0, shape))] = random.integers(0, 70)
    array = array[::-1] if is_flipped else array
    np.testing.assert_array_equal(places_of(array), np.argwhere(array))


def test_a_network_is_asked_once_about_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tiny_checkpoint(tmp_path, windows=WindowDefaults(size=(8, 8, 8)))
    volume = random_volume((9, 20, 10))
    predictor = RegionPredictor(volume, checkpoint, options=CPU)
    asked: list[int] = []
    predictor.network.register_forward_hook(lambda *_: asked.append(1))
    left, right = ((slice(0, 9), slice(a, a + 6), slice(0, 10)) for a in (2, 12))
    first = last_of(predictor.probabilities(left))
    once = len(asked)
    assert once
    np.testing.assert_array_equal(last_of(predictor.probabilities(left)), first)
    assert len(asked) == once
    fresh = RegionPredictor(volume, checkpoint, options=CPU)
    np.testing.assert_allclose(
        last_of(predictor.probabilities(right)), last_of(fresh.probabilities(right)), atol=1e-6
    )
    other = checkpoint.build_network()
    other.load_state_dict({k: v * 0 for k, v in other.state_dict().items()})
    assert np.abs(last_of(predictor.probabilities(left, other)) - first).max() > 1e-3
    np.testing.assert_array_equal(last_of(predictor.probabilities(left)), first)
    monkeypatch.setattr(region, "_KEPT_BYTES", 1)  # no room for a single one
    small = RegionPredictor(volume, checkpoint, options=CPU)
    np.testing.assert_allclose(last_of(small.probabilities(left)), first, atol=1e-6)
    assert not small._answers


def test_getting_ready_asks_what_a_repair_would(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    volume = random_volume((9, 12, 10))
    predictor = RegionPredictor(volume, checkpoint, options=CPU)
    asked: list[int] = []
    predictor.network.register_forward_hook(lambda *_: asked.append(1))
    assert value(get_ready(volume, predictor, None)) is None
    assert not asked
    assert value(get_ready(volume, predictor, Region(start=(1, 2, 3), shape=(5, 6, 7)))) is None
    once = len(asked)
    assert once
    inner = (slice(2, 5), slice(2, 8), slice(3, 9))
    assert last_of(predictor.kept_probabilities(inner)).shape[1:] == (3, 6, 6)
    assert len(asked) == once
    with pytest.raises(CorrectionError, match="does not lie in the volume"):
        value(get_ready(volume, predictor, Region(start=(8, 0, 0), shape=(5, 6, 7))))


@pytest.mark.parametrize("with_network", [False, True])
def test_a_region_of_128_voxels_takes_less_than_a_second(with_network: bool) -> None:
    side, organs = 128, (1, 2, 3)
    away = np.sqrt(sum((axis - 64.0) ** 2 for axis in np.ogrid[:side, :side, :side]))
    image = (away < 50) * 100.0 + np.random.default_rng(0).normal(0, 8, away.shape)
    labels = ((away < 50) & (np.arange(side) < 64)).astype(np.uint8)
    soft = np.full((4, *labels.shape), 0.01, np.float32)
    soft[0], soft[1] = np.where(labels == 1, 0.05, 0.93), np.where(labels == 1, 0.93, 0.05)
    drawn = np.zeros(labels.shape, bool)
    drawn[64, 54:74, 84:88] = drawn[54:74, 64, 82:83] = True
    strokes = Strokes.join([(np.argwhere(drawn), 1, False)])
    scheme = LabelScheme.from_names({1: "liver", 2: "spleen", 3: "kidney"})
    given_network = {"probabilities": soft, "organs": organs} if with_network else {}
    value(get_ready(random_volume((2, 2, 2)), None, None))
    before = time.process_time()  # of this process alone, however busy the machine is
    change = repair(
        labels, image.astype(np.float32), strokes, (1, 1, 1), scheme, start=(0, 0, 0),
        **given_network,
    )  # fmt: skip
    assert time.process_time() - before < 1.0
    assert change.voxels > 1000
