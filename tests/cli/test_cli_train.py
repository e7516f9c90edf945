from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_support import hybridseg, hybridseg_process
from helpers import TINY_UNET, write_dataset

from napari_hybridseg.checkpoint import load_checkpoint

OPTIONS: dict[str, Any] = {
    "architecture": "unet",
    "config": TINY_UNET,
    "patch_size": [8, 8, 8],
    "steps": 500,
    "accelerator": "cpu",
}


@pytest.fixture
def options(tmp_path: Path) -> Path:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(OPTIONS))
    return path


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "boxes")


def test_a_checkpoint_comes_out(tmp_path: Path, boxes: Path, options: Path) -> None:
    out = tmp_path / "out.safetensors"
    ran = hybridseg(
        "train", boxes, "-o", out, "--options", options, "--steps", 3, "--seed", 7, "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["file"] == str(out)
    assert ran.json["organs"] == ["large box", "small box"]
    assert ran.json["mean_dice"] is not None
    card = load_checkpoint(out).card
    assert card.provenance.protocol["steps"] == 3  # the command line goes before the file
    assert card.provenance.seed == 7
    assert card.provenance.command.startswith("hybridseg train ")
    ran = hybridseg("train", boxes, "-o", out, "--options", options, "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "exists already" in ran.sentence


def test_for_people(tmp_path: Path, boxes: Path, options: Path) -> None:
    out = tmp_path / "out.safetensors"
    ran = hybridseg("train", boxes, "-o", out, "--options", options, "--steps", 1)
    assert ran.code == 0
    assert "out.safetensors" in ran.out
    assert "mean Dice" in ran.out
    assert "step 1: loss" in ran.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "one JSON object is needed"),
        ('{"stepps": 5}', "'stepps'"),
        ('{"learning_rate": -1}', "'learning_rate'"),
        ('{"architecture": "ufo"}', "no architecture 'ufo'"),
    ],
)
def test_bad_options_get_one_sentence(
    tmp_path: Path, boxes: Path, options: Path, content: str, words: str
) -> None:
    options.write_text(content)
    ran = hybridseg("train", boxes, "-o", tmp_path / "o.safetensors", "--options", options)
    assert ran.code == 1
    assert words in ran.sentence


def test_a_missing_data_set_gets_one_sentence(tmp_path: Path, options: Path) -> None:
    ran = hybridseg("train", tmp_path / "gone.json", "-o", tmp_path / "o.safetensors")
    assert ran.code == 1
    assert "gone.json does not describe a data set" in ran.sentence


@pytest.mark.slow
def test_two_processes_make_one_checkpoint(tmp_path: Path, boxes: Path) -> None:
    out, options = tmp_path / "out.safetensors", tmp_path / "two.json"
    options.write_text(json.dumps(OPTIONS | {"steps": 100_000, "minutes": 0.05, "log_every": 5}))
    ran = hybridseg_process(
        "train", boxes, "-o", out, "--options", options, "--devices", 2, "--threads", 1, "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["file"] == str(out)
    load_checkpoint(out).build_network()
    steps = [int(line.split(",")[0]) for line in (tmp_path / "out.csv").read_text().split()[1:]]
    assert steps[:2] == [5, 10]
    assert steps == sorted(set(steps))
