from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_support import hybridseg
from helpers import tiny_checkpoint

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.model_card import Evaluation


def test_installed_checkpoints_are_listed(installed: Path) -> None:
    ran = hybridseg("checkpoints", "list", "--json")
    assert ran.code == 0
    assert [entry["name"] for entry in ran.json["checkpoints"]] == ["liver-1.0", "spleen"]
    assert ran.json["checkpoints"][0]["organs"] == ["spleen", "liver", "aorta"]
    (broken,) = ran.json["failed"]
    assert "broken.safetensors" in broken["error"]
    ran = hybridseg("checkpoints", "list")
    assert "liver-1.0" in ran.out
    assert "broken.safetensors" in ran.sentence


def test_a_card_is_shown(installed: Path) -> None:
    ran = hybridseg("checkpoints", "show", "liver-1.0", "--json")
    assert ran.code == 0
    assert ran.json["architecture"] == "unet"
    assert json.loads(hybridseg("checkpoints", "show", "liver-1.0").out) == ran.json


def test_a_whole_checkpoint_is_verified(tiny: Checkpoint) -> None:
    ran = hybridseg("checkpoints", "verify", tiny.path, "--json")
    assert ran.code == 0
    assert ran.json == {"file": str(tiny.path), "sha256": tiny.sha256, "ok": True}
    assert tiny.sha256 in hybridseg("checkpoints", "verify", tiny.path).out


def test_a_damaged_checkpoint_is_not_verified(tiny: Checkpoint, tmp_path: Path) -> None:
    content = tiny.path.read_bytes()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = hybridseg("checkpoints", "verify", bad, "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "damaged" in ran.sentence


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_unknown_name_lists_the_known_ones(installed: Path, command: str) -> None:
    ran = hybridseg("checkpoints", command, "kidney")
    assert ran.code == 1
    assert "one of: broken, liver-1.0, other-file" in ran.sentence


def test_a_missing_file_is_not_taken_for_a_name(tmp_path: Path) -> None:
    ran = hybridseg("checkpoints", "show", tmp_path / "gone.safetensors")
    assert ran.code == 1
    assert "gone.safetensors cannot be opened" in ran.sentence


def test_export_in_half_precision(tiny: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "half.safetensors"
    ran = hybridseg("checkpoints", "export", tiny.path, "-o", out, "--half", "--json")
    assert ran.code == 0
    assert ran.json == {"file": str(out), "bytes": out.stat().st_size}
    assert out.stat().st_size < tiny.path.stat().st_size
    exported = load_checkpoint(out)
    assert exported.card == tiny.card
    torch.testing.assert_close(exported.weights(), tiny.weights(), rtol=1e-3, atol=1e-4)
    ran = hybridseg("checkpoints", "export", tiny.path, "-o", out)
    assert ran.code == 1
    assert "exists already" in ran.sentence


def test_export_of_the_card(tiny: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "card.json"
    assert hybridseg("checkpoints", "export", tiny.path, "-o", out).code == 0
    assert json.loads(out.read_text()) == tiny.card.model_dump(mode="json")


def test_a_distance_never_stands_without_its_convention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Evaluation(
        data="held out", cases=2, mean_dice=0.9, mean_hd95_mm=1.25, hd95_convention="pooled"
    )
    path = tiny_checkpoint(tmp_path, name="measured", evaluation=(measured,)).path
    monkeypatch.setattr("napari_hybridseg.cli.checkpoints.find_checkpoints", lambda: [path])
    (entry,) = hybridseg("checkpoints", "list", "--json").json["checkpoints"]
    assert (entry["mean_hd95_mm"], entry["hd95_convention"]) == (1.25, "pooled")
    assert "1.25 (pooled)" in hybridseg("checkpoints", "list").out
