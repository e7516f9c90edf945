from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_support import hybridseg
from helpers import grid

from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Give a prediction that is half of the reference."""
    geometry = grid((8, 8, 8), spacing=(1, 1, 2))
    reference = np.zeros((8, 8, 8), np.uint8)
    reference[2:6, 2:6, 2:6] = 4
    prediction = reference.copy()
    prediction[4:] = 0
    paths = tmp_path / "prediction.nrrd", tmp_path / "reference.nrrd"
    for path, array in zip(paths, (prediction, reference), strict=True):
        write_image(path, array, geometry)
    return paths


def test_scores_as_json(pair: tuple[Path, Path]) -> None:
    ran = hybridseg("score", *pair, "--json")
    assert ran.code == 0
    (organ,) = ran.json["organs"]
    assert organ["label"] == 4
    assert organ["dice"] == pytest.approx(2 / 3)
    assert organ["volume_ml"] == pytest.approx(2 * 4 * 4 * 2 / 1000)
    assert ran.json["mean_dice"] == pytest.approx(2 / 3)


def test_scores_for_people_with_names_and_a_mean(pair: tuple[Path, Path], tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(LabelScheme.from_names({4: "spleen", 5: "gall bladder"}).to_json())
    ran = hybridseg("score", *pair, "--labels", names)
    assert ran.code == 0
    assert "spleen" in ran.out
    assert "gall bladder" in ran.out
    assert "mean" in ran.out
    assert "0.667" in ran.out
    assert "HD95 mm" in ran.out


def test_a_csv_file_too(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    assert hybridseg("score", *pair, "--csv", out).code == 0
    text = out.read_text()
    assert text.splitlines()[-1].split(",")[1] == "mean"
    ran = hybridseg("score", *pair, "--csv", out, "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "exists already" in ran.sentence
    assert hybridseg("score", *pair, "--csv", out, "--overwrite").code == 0


def test_another_convention_and_tolerance(pair: tuple[Path, Path]) -> None:
    ran = hybridseg("score", *pair, "--convention", "pooled", "--tolerance", 3, "--json")
    assert ran.json["convention"] == "pooled"
    assert ran.json["tolerance_mm"] == 3
    assert hybridseg("score", *pair, "--convention", "best").code == 2
    assert hybridseg("score", *pair, "--tolerance", -1).code == 2


def test_an_image_is_no_label_map(pair: tuple[Path, Path], tmp_path: Path) -> None:
    image = tmp_path / "image.nrrd"
    write_image(image, np.random.default_rng(0).normal(size=(8, 8, 8)), grid((8, 8, 8)))
    ran = hybridseg("score", image, pair[1], "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "no label map" in ran.sentence


@pytest.mark.parametrize("content", ["{", json.dumps({"labels": 3})])
def test_bad_names_get_one_sentence(pair: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    (tmp_path / "names.json").write_text(content)
    ran = hybridseg("score", *pair, "--labels", tmp_path / "names.json")
    assert ran.code == 1
    assert "holds no label names" in ran.sentence


def test_every_number_is_in_the_table_with_its_unit(pair: tuple[Path, Path]) -> None:
    words = " ".join(hybridseg("score", *pair).out.split())
    for title in ("IoU", "HD95 mm", "HD100 mm", "ASSD mm", "difference mL"):
        assert title in words
    assert "0.500" in words
    assert "-0.06" in words


def test_a_csv_that_cannot_be_written_is_said_before_the_work(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "missing" / "scores.csv"
    ran = hybridseg("score", tmp_path / "nothing.nrrd", pair[1], "--csv", out)
    assert ran.code == 1
    assert f"the folder {out.parent} does not exist" in ran.sentence


def test_a_label_map_is_never_replaced_by_its_scores(pair: tuple[Path, Path]) -> None:
    for path in pair:
        before = path.read_bytes()
        ran = hybridseg("score", *pair, "--csv", path, "--overwrite")
        assert ran.code == 1
        assert "is a label map" in ran.sentence
        assert path.read_bytes() == before
