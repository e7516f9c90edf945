from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from correction_support import value
from helpers import ORGANS, random_volume, tiny_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.assist.delta import apply_delta, save_delta
from napari_hybridseg.corrections.assist.options import RankOptions, RepairOptions, TeachOptions
from napari_hybridseg.corrections.assist.ranking import _Look, _ordered, rank, scans_in
from napari_hybridseg.corrections.assist.region import (
    RegionPredictor,
    last_of,
    region_probabilities,
)
from napari_hybridseg.corrections.assist.repair import _largest, repair
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.assist.teaching import teach
from napari_hybridseg.formats import write_image
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import Preprocessing, WindowDefaults

SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen"})
CPU = SegmentOptions(device="cpu", threads=1)


def at(z: slice | int, y: slice | int, x: slice | int, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[z, y, x] = True
    return np.argwhere(mask)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give an image with a bright block, the truth, and a label map that misses a half of it."""
    truth = np.zeros((20, 30, 30), np.uint8)
    truth[5:15, 8:22, 6:24] = 1
    image = truth * 100.0 + np.random.default_rng(0).normal(0, 4, truth.shape)
    labels = truth.copy()
    labels[:, :, 14:] = 0
    return image, truth, labels


def test_one_stroke_brings_the_missing_half_back() -> None:
    image, truth, labels = scene()
    strokes = Strokes.join([(at(10, 15, slice(16, 22), labels.shape), 1, False)])
    change = repair(labels, image, strokes, (1, 1, 1), SCHEME, start=(0, 0, 0))
    after = labels.copy()
    change.apply(after)
    missing = (truth == 1) & (labels == 0)
    assert (after[missing] == 1).mean() > 0.5
    assert (after[truth == 0] != 0).sum() < 0.02 * truth.sum()


def test_not_this_organ_takes_a_leak_away() -> None:
    image, truth, _ = scene()
    leaking = truth.copy()
    leaking[8:12, 12:18, 24:30] = 1
    strokes = Strokes.join([(at(10, 15, slice(26, 29), truth.shape), 1, True)])
    change = repair(leaking, image, strokes, (1, 1, 1), SCHEME, start=(0, 0, 0))
    after = leaking.copy()
    change.apply(after)
    leak = (leaking == 1) & (truth == 0)
    assert (after[leak] == 0).mean() > 0.5
    assert (after[truth == 1] == 1).mean() > 0.98


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 4.7, 4.7)])
def test_a_slice_that_was_painted_stays_so_and_its_neighbours_follow(
    spacing: tuple[float, float, float],
) -> None:
    image, truth, labels = scene()
    missing = (truth == 1) & (labels == 0)
    missing[:, :, 20:] = False
    odds = np.where(labels == 1, 3.0, -6.0)
    odds[missing] = -0.5
    odds[10][missing[10]] = -1.0  # the network is surest of its error where somebody painted
    soft = (1 / (1 + np.exp(-odds))).astype(np.float32)
    painted = at(10, slice(8, 22), slice(14, 19), labels.shape)  # all but the last column
    strokes = Strokes.join([(painted, 1, False)])
    change = repair(
        labels, image, strokes, spacing, SCHEME, start=(0, 0, 0),
        probabilities=np.stack([1 - soft, soft]), organs=(1,),
    )  # fmt: skip
    after = labels.copy()
    change.apply(after)
    expected = labels[10].copy()
    expected[8:22, 14:19] = 1
    np.testing.assert_array_equal(after[10], expected)
    for beside in (9, 11):
        assert (after[beside][missing[beside]] == 1).mean() > 0.8


def test_without_an_effect_on_what_is_right_already() -> None:
    image, truth, _ = scene()
    strokes = Strokes.join([(at(10, 15, slice(10, 20), truth.shape), 1, False)])
    assert repair(truth, image, strokes, (1, 1, 1), SCHEME, start=(0, 0, 0)).voxels == 0


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    with_network=st.booleans(),
    axis=st.sampled_from([None, 0, 1, 2]),
)
def test_strokes_are_obeyed_and_nothing_outside_the_region_changes(
    seed: int, with_network: bool, axis: int | None
) -> None:
    random = np.random.default_rng(seed)
    shape = (9, 10, 11)
    labels = random.integers(0, 3, shape).astype(np.uint8)
    image = random.normal(size=shape)
    parts = []
    for _ in range(random.integers(1, 5)):
        voxels = random.integers((3, 3, 3), (6, 7, 8), (3, 3))
        parts.append((voxels, int(random.integers(0, 3)), bool(random.integers(0, 2))))
    strokes = Strokes.join(parts)
    options = RepairOptions(margin_mm=2.0, axis=axis)
    box = options.region(strokes, shape, (1.0, 1.0, 1.0))
    if axis is not None:  # in the strokes' own slices alone
        drawn = strokes.voxels[:, axis]
        assert (box[axis].start, box[axis].stop) == (drawn.min(), drawn.max() + 1)
    soft = random.dirichlet([1, 1, 1], shape).transpose(3, 0, 1, 2).astype(np.float32)
    given_network = (
        {"probabilities": soft[(slice(None), *box)], "organs": (1, 2)} if with_network else {}
    )
    start = tuple(part.start for part in box)
    change = repair(
        labels[box], image[box], strokes, (1, 1, 1), SCHEME, start=start, options=options,
        **given_network,
    )  # fmt: skip
    after = labels.copy()
    change.apply(after)
    outside = np.ones(shape, bool)
    outside[box] = False
    np.testing.assert_array_equal(after[outside], labels[outside])
    said = strokes.latest()
    for voxel, label, is_not in zip(said.voxels, said.labels, said.is_not, strict=True):
        assert (after[tuple(voxel)] == label) != is_not


@given(seed=st.integers(0, 10_000), channels=st.integers(1, 5))
def test_the_largest_belief_is_the_first_of_equals(seed: int, channels: int) -> None:
    belief = np.random.default_rng(seed).integers(-1, 3, (channels, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(_largest(belief), belief.argmax(axis=0))


def test_what_a_hand_painted_outlives_a_stroke_far_away() -> None:
    image, truth, labels = scene()
    labels[2:4, 2:4, 2:4] = 2
    soft = np.stack([1.0 - truth, truth, 0 * truth]).astype(np.float32)
    strokes = Strokes.join([(at(10, 15, slice(16, 22), labels.shape), 1, False)])
    change = repair(
        labels, image, strokes, (1, 1, 1), SCHEME,
        start=(0, 0, 0), probabilities=soft, organs=(1, 2),
    )  # fmt: skip
    after = labels.copy()
    change.apply(after)
    assert (after[2:4, 2:4, 2:4] == 2).all()


def test_strokes_that_make_no_sense_are_refused() -> None:
    image, _, labels = scene()
    with pytest.raises(CorrectionError, match="no stroke"):
        RepairOptions().region(Strokes.join([]), labels.shape, (1, 1, 1))
    outside = Strokes.join([(np.array([[99, 0, 0]]), 1, False)])
    with pytest.raises(CorrectionError, match="outside"):
        RepairOptions().region(outside, labels.shape, (1, 1, 1))
    unknown = Strokes.join([(np.array([[1, 1, 1]]), 9, False)])
    with pytest.raises(CorrectionError, match=r"\[9\]"):
        repair(labels, image, unknown, (1, 1, 1), SCHEME, start=(0, 0, 0))


def test_strokes_from_layers_and_the_last_word() -> None:
    layer = np.zeros((3, 3, 3), np.uint8)
    layer[1, 1] = (0, 1, 2)
    strokes = Strokes.from_layers(layer, (layer == 1).astype(np.uint8))
    assert len(strokes) == 3
    assert len(strokes.latest()) == 2
    last = strokes.latest()
    assert last.is_not[(last.voxels == (1, 1, 1)).all(axis=1)].tolist() == [True]


CARDS = {
    "plain": {},
    "turned": {"preprocessing": Preprocessing(orientation="RAS", axes=(2, 1, 0))},
    "resampled": {"preprocessing": Preprocessing(spacing=(1.5, 1.5, 1.5))},
    "cropped": {"preprocessing": Preprocessing(crop_to_nonzero=True)},
    "small": {"windows": WindowDefaults(size=(16, 8, 8))},
}


@pytest.mark.parametrize("card", CARDS)
def test_probabilities_of_a_region_are_those_of_the_whole(tmp_path: Path, card: str) -> None:
    checkpoint = tiny_checkpoint(tmp_path, **CARDS[card])
    volume = random_volume((11, 12, 13))
    volume.array[:, :2] = 0
    labels = value(segment(volume, checkpoint, CPU)).array
    box = (slice(1, 9), slice(3, 12), slice(0, 7))
    found = region_probabilities(volume, checkpoint, box, options=CPU)
    ids = np.array([0, *ORGANS.ids])
    assert found.shape == (4, 8, 9, 7)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    agreed = (ids[found.argmax(axis=0)] == labels[box]).mean()
    assert agreed > 0.999
    predictor = RegionPredictor(volume, checkpoint, options=CPU)
    np.testing.assert_allclose(last_of(predictor.kept_probabilities(box)), found, atol=1e-6)
    inner = (slice(2, 5), slice(4, 8), slice(1, 7))
    part = found[:, 1:4, 1:5, 1:7]
    np.testing.assert_allclose(last_of(predictor.kept_probabilities(inner)), part, atol=1e-6)


def test_teaching_follows_the_strokes_and_leaves_the_network_alone(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    volume = random_volume((9, 12, 10))
    predictor = RegionPredictor(volume, checkpoint, options=CPU)
    z, y, x = (slice(0, n) for n in volume.geometry.shape)
    box = (z, y, x)
    before = last_of(predictor.probabilities(box))
    weights = {k: v.clone() for k, v in predictor.network.state_dict().items()}
    labels = np.array([0, *ORGANS.ids], np.uint16)[before.argmax(axis=0)]
    said = at(4, slice(3, 8), slice(3, 7), labels.shape)
    strokes = Strokes.join([(said, 300, False)])
    options = TeachOptions(steps=15, threads=1)
    taught = last_of(teach(predictor, labels, strokes, box, options))
    assert taught.loss[1] < taught.loss[0]
    organ = 1 + ORGANS.ids.index(300)
    here = (organ, *said.T)
    assert taught.probabilities[here].mean() > before[here].mean()
    after = labels.copy()
    taught.change.apply(after)
    assert (after[tuple(said.T)] == 300).all()
    for key, kept in predictor.network.state_dict().items():
        assert torch.equal(kept, weights[key])
    save_delta(tmp_path / "taught.safetensors", taught.delta, checkpoint.sha256)
    again = checkpoint.build_network()
    apply_delta(again, tmp_path / "taught.safetensors", checkpoint.sha256)
    redone = last_of(predictor.probabilities(box, again))
    np.testing.assert_allclose(redone, taught.probabilities, atol=1e-5)
    with pytest.raises(CorrectionError, match="another checkpoint"):
        apply_delta(again, tmp_path / "taught.safetensors", "0" * 64)
    with pytest.raises(CorrectionError, match="does not know"):
        last_of(teach(predictor, labels, Strokes.join([(said, 9, False)]), box, options))


def test_a_picture_among_scans_is_not_ranked(tmp_path: Path) -> None:
    (tmp_path / "screenshot.png").touch()
    assert scans_in(tmp_path) == (tmp_path / "screenshot.png",)
    (tmp_path / "ct.nii.gz").touch()
    assert scans_in(tmp_path) == (tmp_path / "ct.nii.gz",)


def test_ranking_takes_unlike_scans_in_turn(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path, windows=WindowDefaults(size=(8, 8, 8), mirror_axes=(2,)))
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, seed, gain in (("a1", 1, 1.0), ("a2", 1, 1.0), ("b", 2, 5.0)):
        volume = random_volume((9, 12, 10), seed=seed)
        array = volume.array[0] ** 3 if gain > 1 else volume.array[0]
        write_image(folder / f"{name}.nrrd", array, volume.geometry)
    (folder / "broken.nrrd").write_text("NRRD0004")
    options = RankOptions(device="cpu", threads=1)
    ranking = value(rank(scans_in(folder), checkpoint, options))
    names = [scan.path.stem for scan in ranking.scans]
    assert sorted(names) == ["a1", "a2", "b"]
    # the copy of a scan teaches nothing new, so it comes last
    assert names[-1] == "a2"
    assert ranking.scans[-1].novelty == pytest.approx(0, abs=1e-6)
    assert ranking.scans[0].disagreement > 0
    assert len(ranking.failed) == 1
    assert "broken.nrrd" in ranking.failed[0]
    by_doubt = value(rank(scans_in(folder), checkpoint, RankOptions(diversity=0, device="cpu")))
    benefits = [scan.benefit for scan in by_doubt.scans]
    assert benefits == sorted(benefits, reverse=True)
    (tmp_path / "none").mkdir()
    with pytest.raises(CorrectionError, match="no image file"):
        scans_in(tmp_path / "none")


def test_scans_that_are_a_little_alike_stay_where_doubt_puts_them() -> None:
    """Three scans of another scanner, one of them nearly twice, among seven that are known."""
    random = np.random.default_rng(0)
    features = random.normal(size=(10, 9))
    features[:3, :2] += 2.5  # what the other scanner has in common
    doubts = [0.30, 0.32, 0.34, *np.linspace(0.22, 0.26, 7)]
    looks = [
        (Path(f"{number}.nrrd"), _Look(doubt, 0.0, row))
        for number, (doubt, row) in enumerate(zip(doubts, features, strict=True))
    ]
    looks.append((Path("copy.nrrd"), _Look(0.339, 0.0, features[2] + 0.01)))
    found = list(_ordered(looks, RankOptions().diversity))
    names = [scan.path.stem for scan in found]
    assert names[:3] == ["2", "1", "0"]
    assert names[-1] == "copy"
    assert [scan.novelty for scan in found[:3]] == [1.0, 1.0, 1.0]
    by_doubt = [scan.path.stem for scan in _ordered(looks, 0.0)]
    assert by_doubt[:2] == ["2", "copy"]
    twice = [*looks[:10], *((Path(f"{p.stem}-again.nrrd"), look) for p, look in looks[:10])]
    last = [scan.path.stem for scan in _ordered(twice, RankOptions().diversity)][10:]
    assert all(name.endswith("-again") for name in last)
