"""The whole loop without a viewer: segment, correct, accept, fine-tune, segment again, go back."""

from __future__ import annotations

import json
from pathlib import Path

from cli_support import hybridseg
from helpers import TINY_UNET, tiny_checkpoint, write_dataset

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_label_map, load_volume

BOXES = LabelScheme.from_names({2: "large box", 5: "small box"}, "boxes")
LEARNS = {
    "accelerator": "cpu", "check_every": 10, "folds": 0, "strategy": "full", "patience": 0,
    "learning_rate": 2e-2, "ema_decay": 0.8, "pull": 0,
}  # fmt: skip


def test_a_correction_makes_the_next_segmentation_better(tmp_path: Path) -> None:
    parent = tiny_checkpoint(tmp_path, labels=BOXES, config=TINY_UNET).path
    before = parent.read_bytes()
    cases = write_dataset(tmp_path / "boxes", train=1, heldout=0).parent
    scan, truth = cases / "image0.nii.gz", cases / "label0.nii.gz"
    names, options = tmp_path / "labels.json", tmp_path / "options.json"
    names.write_text(BOXES.to_json())
    options.write_text(json.dumps(LEARNS))

    def dice(checkpoint: Path) -> float:
        out = tmp_path / f"{checkpoint.stem}.nii.gz"
        ran = hybridseg("segment", scan, "-c", checkpoint, "-o", out, "--device", "cpu")
        assert ran.code == 0, ran.err
        assert load_label_map(out).geometry.same_grid(load_volume(scan).geometry)
        ran = hybridseg("score", out, truth, "--json")
        assert ran.code == 0, ran.err
        return float(ran.json["mean_dice"])

    first = dice(parent)
    found, corrections = tmp_path / f"{parent.stem}.nii.gz", tmp_path / "set"
    ran = hybridseg(
        "corrections", "add", corrections, scan, truth, "--network-label", found, "-c", parent,
        "--labels", names, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert sum(edit["added"] + edit["removed"] for edit in ran.json["edits"]) > 0
    assert hybridseg("corrections", "verify", corrections, "--json").json["ok"] is True

    child = tmp_path / "child.safetensors"
    ran = hybridseg(
        "finetune", corrections, "-c", parent, "-o", child, "--options", options, "--steps", 40,
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json["cases"]["measured"] == "training cases"
    lineage = load_checkpoint(child).card.provenance
    assert lineage.parent_sha256 == load_checkpoint(parent).sha256
    assert len(lineage.protocol["case_sha256"]) == 1

    found.unlink()
    assert dice(child) > first + 0.2
    assert parent.read_bytes() == before
    assert dice(parent) == first  # whoever goes back has what there was
