from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ORGANS, grid, write_dataset

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats import write_image
from napari_hybridseg.model_card import ClipStandardise, Preprocessing, ZScore
from napari_hybridseg.training.dataset import (
    DatasetError,
    guess_intensity,
    load_cases,
    read_dataset,
)

SHAPE = (10, 12, 12)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def load(path: Path, **preprocessing: Any) -> list:
    found = read_dataset(path)
    return list(load_cases(found.train, found.scheme, Preprocessing(**preprocessing)))


def test_a_description_is_read(dataset: Path) -> None:
    found = read_dataset(dataset)
    assert (found.name, found.modality, found.licence) == ("boxes", "MR", "CC0-1.0")
    assert found.scheme.names == {2: "large box", 5: "small box"}
    assert [case.image.name for case in found.train] == [f"image{i}.nii.gz" for i in range(3)]
    assert [case.label.name for case in found.heldout] == ["label3.nii.gz"]


def test_decathlons_and_nnunets_layouts(dataset: Path) -> None:
    content = json.loads(dataset.read_text())
    content["training"] = content.pop("train")
    content["channel_names"] = {"0": "CT"}
    content["labels"] = {"background": 0, "large box": 2, "small box": 5}
    del content["heldout"]
    dataset.write_text(json.dumps(content))
    found = read_dataset(dataset)
    assert len(found.train) == 3
    assert found.heldout == ()
    assert found.modality == "CT"
    assert found.scheme.ids == (2, 5)


def test_names_and_colours_beside_it_are_preferred(dataset: Path) -> None:
    (dataset.parent / "labels.json").write_text(ORGANS.to_json())
    assert read_dataset(dataset).scheme == ORGANS


def test_the_hash_is_of_the_training_files(dataset: Path) -> None:
    found = read_dataset(dataset)
    before = found.sha256_of_train()
    assert found.sha256_of_train(2) != before
    found.heldout[0].image.write_bytes(b"other")
    assert found.sha256_of_train() == before
    found.train[2].label.write_bytes(b"other")
    assert found.sha256_of_train() != before


def test_cases_are_what_the_network_sees(dataset: Path) -> None:
    for case in load(dataset):
        assert case.image.shape == (1, *SHAPE)
        assert case.image.dtype == np.float32
        assert case.channels.shape == SHAPE
        assert set(np.unique(case.channels)) == {0, 1, 2}  # numbers 2 and 5 are channels 1 and 2
        assert case.image[0][case.channels == 2].mean() > case.image[0][case.channels == 1].mean()


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "as-stored"])
def test_image_and_label_map_stay_together(dataset: Path, orientation: str) -> None:
    for case in load(dataset, orientation=orientation, spacing=(1.4, 1.1, 2.3)):
        assert case.image.shape[1:] == case.channels.shape != SHAPE
        bright = case.image[0] > 0.5 * case.image.max()
        assert case.channels[bright].mean() > 1.5
        assert case.image[0][case.channels == 0].mean() < 0


def test_an_image_and_a_label_map_that_are_stored_differently(dataset: Path) -> None:
    straight = load(dataset)[0]
    base = grid(SHAPE)
    order = base.to_axis_codes("SRA")
    found = read_dataset(dataset).train[0]
    labels = np.take([0, 2, 5], straight.channels).astype(np.uint8)
    write_image(found.label, order.apply(labels), base.reoriented(order), overwrite=True)
    np.testing.assert_array_equal(load(dataset)[0].channels, straight.channels)


def test_mri_is_standardised_by_itself_and_ct_by_the_organs(dataset: Path) -> None:
    found = read_dataset(dataset)
    assert guess_intensity(found, found.train) == ZScore()
    change(dataset, modality={"0": "CT"})
    found = read_dataset(dataset)
    chosen = guess_intensity(found, found.train)
    assert isinstance(chosen, ClipStandardise)
    # organ 2 has about 40 and organ 5 about 100, both give or take 5
    assert 20 < chosen.low < 40 < chosen.mean < 100 < chosen.high < 120
    assert chosen.std > 1


def remove_a_file(path: Path) -> None:
    (path.parent / "image1.nii.gz").unlink()


def other_grid(path: Path) -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    write_image(path.parent / "label1.nii.gz", labels, grid((4, 4, 4)), overwrite=True)


def sheared(path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    affine = np.eye(4)
    affine[0, 2] = 0.5
    nibabel.save(
        nibabel.Nifti1Image(np.ones(SHAPE[::-1], np.float32), affine), path.parent / "image1.nii.gz"
    )


def other_channels(path: Path) -> None:
    image = np.zeros((2, *SHAPE), np.float32)
    write_image(path.parent / "image1.nii.gz", image, grid(SHAPE), overwrite=True)


def unknown_label(path: Path) -> None:
    labels = np.full(SHAPE, 9, np.uint8)
    write_image(path.parent / "label1.nii.gz", labels, grid(SHAPE), overwrite=True)


def empty_ct(path: Path) -> None:
    change(path, modality={"0": "CT"})
    for number in range(3):
        labels = path.parent / f"label{number}.nii.gz"
        write_image(labels, np.zeros(SHAPE, np.uint8), grid(SHAPE), overwrite=True)


def ct_on_another_grid(path: Path) -> None:
    change(path, modality={"0": "CT"})
    other_grid(path)


def same_case_twice(path: Path) -> None:
    change(path, heldout=json.loads(path.read_text())["train"][:1])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "does not describe a data set"),
        (lambda path: path.write_text("{"), "does not describe a data set"),
        (lambda path: path.write_text("[]"), "does not describe a data set"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "does not describe a data set"),
        (lambda path: path.write_text('{"labels": {"1": "x"}}'), "does not describe a data set"),
        (lambda path: change(path, train=["a"]), "does not describe a data set"),
        (lambda path: change(path, train=[{"image": "a"}]), "does not describe a data set"),
        (lambda path: change(path, heldout=None), "does not describe a data set"),
        (lambda path: change(path, training=[], train=[]), "no cases"),
        (lambda path: change(path, labels=None), "holds no label names"),
        (lambda path: change(path, labels={"0": "background"}), "names no organ"),
        (remove_a_file, r"1 files are missing, e\.g\. .*image1"),
        (same_case_twice, r"to train on and to hold out, e\.g\. .*image0"),
        (other_grid, r"label1\S* does not lie on the grid of .*image1"),
        (ct_on_another_grid, r"label1\S* does not lie on the grid of .*image1"),
        (sheared, r"image1\S* cannot be trained on: its slices or axes are irregular"),
        (other_channels, r"image1\S* has 2 channels where .*image0\S* has 1"),
        (unknown_label, r"label1\S* has the labels \[9\]"),
        (empty_ct, "No organ is labelled"),
    ],
)
def test_what_cannot_be_trained_on_gets_one_sentence(
    dataset: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(dataset)

    def use() -> None:
        found = read_dataset(dataset)
        guess_intensity(found, found.train)
        load(dataset)

    with pytest.raises(HybridSegError, match=words) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_the_error_is_the_data_sets(dataset: Path) -> None:
    remove_a_file(dataset)
    with pytest.raises(DatasetError):
        read_dataset(dataset)
