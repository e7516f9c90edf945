from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_support import hybridseg

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.volume import load_volume


def point_in(image: Path) -> tuple[float, ...]:
    volume = load_volume(image)
    return tuple(volume.geometry.world((np.array(volume.geometry.shape) - 1) / 2))


def test_maps_pictures_and_index_are_written(tiny: Checkpoint, image: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    ran = hybridseg(
        "explain", image, "-c", tiny.path, "-o", out, "--what", "entropy",
        "--what", "receptive-field", "--point", *point_in(image), "--device", "cpu", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert [entry["view"] for entry in ran.json["explanations"]] == ["entropy", "receptive-field"]
    assert {path.name for path in out.iterdir()} == {
        "entropy.nii.gz", "entropy.png", "receptive-field.nii.gz", "receptive-field.png",
        "index.json",
    }  # fmt: skip
    assert load_volume(out / "entropy.nii.gz").source.same_grid(load_volume(image).source)
    again = hybridseg("explain", image, "-c", tiny.path, "-o", out, "--device", "cpu")
    assert again.code == 1
    assert "not empty" in again.sentence


def test_what_is_not_offered_or_missing_is_one_sentence(
    tiny: Checkpoint, image: Path, tmp_path: Path
) -> None:
    def sentence(*arguments: object) -> str:
        ran = hybridseg("explain", image, "-c", tiny.path, "-o", tmp_path / "o", *arguments)
        assert ran.code == 1
        assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())
        return ran.sentence

    assert "does not offer 'token-map'; it offers: entropy, margin" in sentence(
        "--what", "token-map"
    )
    assert "knows no organ 'heart'; choose one of: 1 spleen" in sentence("--organ", "heart")
    assert "needs a point" in sentence("--what", "receptive-field")
    assert "has no place 'down9'" in sentence("--what", "grad-cam", "--place", "down9")


def test_what_is_offered_can_be_listed(tiny: Checkpoint) -> None:
    ran = hybridseg("explain", "-c", tiny.path, "--list", "--json")
    assert ran.code == 0, ran.err
    assert "entropy" in {view["name"] for view in ran.json["views"]}
    assert "entropy" in hybridseg("explain", "-c", tiny.path, "--list").out
