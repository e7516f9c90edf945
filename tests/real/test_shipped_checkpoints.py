"""The checkpoints that are shipped do what their cards claim, on real volumes, by the CLI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from napari_hybridseg.checkpoint import load_checkpoint, verify_checkpoint
from napari_hybridseg.resources import find_checkpoints, shipped_checkpoints_folder

HIPPOCAMPUS = "hippocampus-utnetv2-3d"
CASES = 6
SLACK = 0.03


def hybridseg(*arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "napari_hybridseg", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def shipped() -> list[Path]:
    folder = shipped_checkpoints_folder()
    return [path for path in find_checkpoints() if path.is_relative_to(folder)]


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_shipped_checkpoint_is_whole_small_and_says_what_it_is(path: Path) -> None:
    verify_checkpoint(path)
    card = load_checkpoint(path).card
    assert path.stat().st_size <= 8_000_000
    assert card.licence
    assert card.attribution
    assert card.intended_use
    assert card.provenance.command.startswith(("hybridseg train", "hybridseg finetune"))
    assert card.provenance.seed is not None
    assert card.evaluation[0].cases > 0


def test_held_out_hippocampi_score_as_the_card_claims(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "hippocampus_msd04"
    heldout = json.loads((folder / "dataset.json").read_text())["heldout"][:CASES]
    images = [folder / case["image"] for case in heldout]
    run = hybridseg("segment", *images, "-c", HIPPOCAMPUS, "-o", tmp_path, "--threads", "1")
    assert not run["failed"]
    dice = []
    for case, result in zip(heldout, run["results"], strict=True):
        report = hybridseg("score", result["output"], folder / case["label"])
        dice.append(report["mean_dice"])
        image, labels = sitk.ReadImage(result["image"]), sitk.ReadImage(result["output"])
        assert labels.GetSize() == image.GetSize()
        assert labels.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-6)
        assert labels.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-4)
        assert labels.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)
    card = load_checkpoint(shipped_checkpoints_folder() / f"{HIPPOCAMPUS}.safetensors").card
    assert card.evaluation[0].mean_dice >= 0.875
    assert sum(dice) / len(dice) == pytest.approx(card.evaluation[0].mean_dice, abs=SLACK)
