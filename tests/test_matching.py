"""Which checkpoint fits a volume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import grid, tiny_card
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.matching import Grade, Traits, best_fitting, grade, why_it_fits
from napari_hybridseg.model_card import ClipStandardise, ModelCard, Preprocessing, WindowDefaults
from napari_hybridseg.volume import Volume, load_volume

ROOT = Path(__file__).parents[1]
SHIPPED = {p.stem: p for p in sorted((ROOT / "sample_data/checkpoints").glob("*.safetensors"))}
TORSO, HEADNECK = "torso-utnetv2-3d", "headneck-utnetv2-3d"
needs_samples = pytest.mark.skipif(not SHIPPED, reason="the shipped checkpoints are not there")


@pytest.fixture(scope="module")
def shipped() -> dict[str, ModelCard]:
    return {name: load_checkpoint(path).card for name, path in SHIPPED.items()}


def traits(**changes: object) -> Traits:
    """Describe an MR of 64 voxels of 1 mm along each axis."""
    plain = Traits((64, 64, 64), (1.0, 1.0, 1.0), 1, np.linspace(0, 900, 1000), name="x")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def card(**changes: object) -> ModelCard:
    windows = WindowDefaults(size=(32, 32, 32))
    return tiny_card(**({"modality": "MR", "windows": windows, "name": "net"} | changes))


@needs_samples
@pytest.mark.parametrize("file", ["torso_a.nii.gz", "torso_b.nrrd"])
@pytest.mark.parametrize("name", [None, "scan"])
def test_the_torso_gets_its_checkpoint_whatever_it_is_called(file, name, shipped):
    found = Traits.of(load_volume(ROOT / "sample_data/volumes" / file))
    found = dataclasses.replace(found, name=name or found.name)
    assert best_fitting(found, shipped) == (TORSO,)


@needs_samples
def test_a_small_mr_gets_the_networks_for_small_mr(shipped):
    found = traits(shape=(38, 52, 36), name="0017")
    best = best_fitting(found, shipped)
    assert len(best) == 7
    assert all(name.startswith("hippocampus") for name in best)


@needs_samples
def test_a_head_and_neck_scan_is_told_from_no_other_ct_and_from_mr(shipped, shared_data):
    scans = sorted((shared_data / "openkbp_headneck" / "images").glob("*.nii.gz"))[:4]
    for scan in scans:
        best = best_fitting(Traits.of(load_volume(scan)), shipped)
        assert HEADNECK in best
        assert set(best) <= {HEADNECK, TORSO}


def test_what_a_sample_says_weighs_most():
    other = card(labels=LabelScheme.from_names({1: "liver"}))
    cards = {"a": other, "b": card(name="mine", modality="CT")}
    found = traits(goes_with="mine", organs=frozenset({"liver"}))
    assert best_fitting(found, cards) == ("b",)
    assert why_it_fits(found, cards["b"]) == "this sample goes with it"


def test_the_organs_of_a_reference_weigh_more_than_the_modality():
    few = card(labels=LabelScheme.from_names({1: "Liver", 2: "spleen"}), modality="CT")
    many = card(labels=LabelScheme.from_names({1: "liver", 2: "spleen", 3: "a", 4: "b"}))
    none = card(labels=LabelScheme.from_names({1: "larynx"}))
    found = traits(organs=frozenset({"liver", "spleen"}))
    assert best_fitting(found, {"none": none, "many": many, "few": few}) == ("few",)
    assert grade(found, few).organs == 1.0
    assert grade(found, none).organs == 0
    assert "organs" in why_it_fits(found, few)


def test_numbers_are_no_names_of_organs():
    volume = Volume.from_stored(StoredImage(np.zeros((1, 4, 5, 6), np.int16), grid((4, 5, 6))))
    found = Traits.of(volume, organs=["label 1", " Liver ", "label 27"])
    assert found.organs == {"liver"}


@pytest.mark.parametrize(
    ("stated", "low", "wanted", "points"),
    [
        ("MR", 0, "MR", 1),
        ("MR", 0, "CT", -1),
        ("CT", 0, "CT", 1),
        ("CT", 0, "CT and MR", 1),
        ("MR", -1000, "CT", -1),
        ("", -1000, "CT", 1),
        ("", -1000, "MR", -1),
        ("", 0, "CT", -1),
        ("", 0, "MR", 0),
        ("CT", -1000, "", 0),
    ],
)
def test_the_modality_is_what_is_stated_or_what_the_values_look_like(stated, low, wanted, points):
    found = traits(modality=stated, values=np.linspace(low, 900, 100))
    assert grade(found, card(modality=wanted)).modality == points


def test_a_word_of_the_name_speaks_for_a_checkpoint_but_not_that_of_its_architecture():
    knee = card(name="knee-unet", architecture="unet")
    assert grade(traits(name="KNEE_left_01"), knee).name == 1
    assert grade(traits(name="unet_left_01"), knee).name == 0
    lungs = card(labels=LabelScheme.from_names({1: "left lung"}))
    assert grade(traits(name="case_lung"), lungs).name == 1
    assert grade(traits(name="left_case"), lungs).name == 0
    assert why_it_fits(traits(name="knee_1"), knee) == "both are called after 'knee'"


def test_a_range_that_cuts_off_much_of_a_body_speaks_against_a_checkpoint():
    body = np.concatenate([np.full(500, -1000.0), np.full(60, -800.0), np.full(140, 40.0)])
    found = traits(values=body)
    narrow, wide = (
        card(
            modality="CT",
            preprocessing=Preprocessing(
                intensity=ClipStandardise(low=low, high=500, mean=0, std=100)
            ),
        )
        for low in (-200, -950)
    )
    assert grade(found, narrow).values == -1
    assert grade(found, wide).values == 0
    assert best_fitting(found, {"narrow": narrow, "wide": wide}) == ("wide",)


def test_a_scan_much_smaller_larger_or_coarser_than_what_was_learnt_speaks_against():
    net = card(preprocessing=Preprocessing(spacing=(2.0, 2.0, 2.0)))  # windows of 64 mm
    for shape, spacing, points in [
        ((64, 64, 64), 1.0, 0),
        ((20, 20, 64), 1.0, -1),
        ((20, 64, 64), 1.0, 0),
        ((300, 300, 64), 1.0, -1),
        ((16, 16, 16), 4.5, -1),
        ((300, 300, 300), 4.5, -2),
    ]:
        assert grade(traits(shape=shape, spacing=(spacing,) * 3), net).size == points
    whole = card(preprocessing=Preprocessing(shape=(32, 32, 32)))
    assert grade(traits(shape=(900, 900, 900)), whole).size == 0


def test_a_network_that_goes_slice_by_slice_may_see_any_number_of_slices():
    flat = card(windows=WindowDefaults(size=(1, 64, 64), slice_axis=0))
    assert grade(traits(shape=(64, 400, 64)), flat).size == 0
    assert grade(traits(shape=(64, 400, 400)), flat).size == -1


def test_windows_are_in_the_networks_order_of_axes():
    windows = WindowDefaults(size=(16, 64, 256))
    turned = card(windows=windows, preprocessing=Preprocessing(axes=(2, 1, 0)))
    scan = traits(shape=(256, 64, 16))
    assert grade(scan, turned).size == 0
    assert grade(scan, card(windows=windows)).size == -1


def test_a_network_that_cannot_be_run_comes_last():
    cards = {"b": card(), "a": card(in_channels=3, name="mine")}
    assert best_fitting(traits(goes_with="mine"), cards) == ("b",)


def test_where_nothing_speaks_for_any_all_tie_in_their_order():
    cards = {"b": card(modality=""), "a": card(modality=""), "c": card(modality="")}
    assert best_fitting(traits(), cards) == ("b", "a", "c")
    assert grade(traits(), cards["a"]) == Grade()
    assert best_fitting(traits(), {}) == ()


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=27))
def test_any_values_give_a_grade(values):
    array = np.zeros(27, np.float32)
    array[: len(values)] = values
    volume = Volume.from_stored(StoredImage(array.reshape(1, 3, 3, 3), grid((3, 3, 3))))
    clipped = Preprocessing(intensity=ClipStandardise(low=-100, high=100, mean=0, std=1))
    found = Traits.of(volume)
    assert grade(found, card(modality="CT", preprocessing=clipped)).modality in (-1, 1)
