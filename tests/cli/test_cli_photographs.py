"""Photographs on the command line: described, segmented as they are, and scored against a mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from cli_support import hybridseg
from helpers import TINY_TRANSFUSE, photograph_checkpoint
from PIL import Image

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.formats import read_image


def test_colour_photographs_are_segmented_and_scored(tmp_path: Path) -> None:
    checkpoint = photograph_checkpoint(tmp_path)
    colours = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "one.png")
    Image.fromarray(colours[::-1]).save(tmp_path / "two.jpg")
    assert "no millimetres" in hybridseg("info", tmp_path / "one.png").out
    images = tmp_path / "one.png", tmp_path / "two.jpg"
    ran = hybridseg("segment", *images, "-c", checkpoint, "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    found = read_image(tmp_path / "out" / "one_labels.nii.gz").array
    assert found.shape == (1, 1, 45, 61)
    assert found.any()

    Image.fromarray(found[0, 0].astype(np.uint8)).save(tmp_path / "mask.png")
    ran = hybridseg(
        "score", tmp_path / "out" / "one_labels.nii.gz", tmp_path / "mask.png", "--json"
    )
    assert ran.json["mean_dice"] == 1


def test_a_grey_photograph_is_too_little_for_a_network_in_colour(tmp_path: Path) -> None:
    checkpoint = photograph_checkpoint(tmp_path)
    Image.fromarray(np.zeros((45, 61), dtype=np.uint8)).save(tmp_path / "grey.png")
    ran = hybridseg("segment", tmp_path / "grey.png", "-c", checkpoint, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "channel" in ran.err
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_masks_of_every_kind_are_references(tmp_path: Path) -> None:
    """A palette, black and white as PNG and as JPEG in colour: each says the same."""
    y, x = np.ogrid[:45, :61]
    polyp = (y - 20) ** 2 + (x - 30) ** 2 < 150
    white = polyp * np.uint8(255)
    Image.fromarray(polyp.astype(np.uint8)).save(tmp_path / "one.png")
    palette = Image.fromarray(polyp.astype(np.uint8))
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(white).save(tmp_path / "white.png")
    Image.fromarray(np.repeat(white[..., None], 3, axis=-1)).save(tmp_path / "colour.jpg")
    for reference, notes in (("palette.png", 0), ("white.png", 1), ("colour.jpg", 1)):
        ran = hybridseg("score", tmp_path / "one.png", tmp_path / reference, "--json")
        assert [o["label"] for o in ran.json["organs"]] == [1], reference
        assert ran.json["mean_dice"] == 1, reference
        said = [note for note in ran.json["notes"] if "white, which is taken for label 1" in note]
        assert len(said) == notes, reference


def test_a_network_learns_from_white_masks(tmp_path: Path) -> None:
    checkpoint = photograph_checkpoint(tmp_path)
    cases = []
    for number in range(2):
        colours = np.random.default_rng(number).integers(0, 256, (45, 61, 3), dtype=np.uint8)
        names = {"image": f"{number}.png", "label": f"{number}_mask.jpg"}
        white = np.zeros((45, 61), np.uint8)
        white[10:30, 10 + number : 40] = 255
        Image.fromarray(colours).save(tmp_path / names["image"])
        Image.fromarray(white).convert("RGB").save(tmp_path / names["label"])
        cases.append(names)
    content = {
        "labels": {"0": "background", "1": "polyp"},
        "train": cases[:1],
        "heldout": cases[1:],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    options = {"config": TINY_TRANSFUSE, "patch_size": (1, 32, 32), "accelerator": "cpu"}
    (tmp_path / "options.json").write_text(json.dumps(options))
    given = "-a", "transfuse-s", "--options", tmp_path / "options.json", "--steps", 1
    out = tmp_path / "new.safetensors"
    ran = hybridseg("train", tmp_path / "dataset.json", *given, "-o", out, "--json")
    assert ran.code == 0, ran.err
    assert "Label maps of 1 case: Its only number is 255, white" in ran.err
    (measured,) = load_checkpoint(out).card.evaluation
    assert [organ.name for organ in measured.organs] == ["polyp"]

    into = tmp_path / "set"
    image, label = (tmp_path / cases[0][key] for key in ("image", "label"))
    assert hybridseg("corrections", "add", into, image, label, "-c", checkpoint).code == 0
    (case,) = hybridseg("corrections", "list", into, "--json").json["cases"]
    assert case["organs"] == ["polyp"]
