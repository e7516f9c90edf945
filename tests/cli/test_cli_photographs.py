"""Photographs on the command line: described, segmented as they are, and scored against a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_support import hybridseg
from helpers import photograph_checkpoint
from PIL import Image

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
