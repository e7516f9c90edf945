from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import hybridseg, hybridseg_process
from helpers import TINY_UNET, tiny_checkpoint, write_dataset

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.labels import LabelScheme

BOXES = LabelScheme.from_names({2: "large box", 5: "small box"}, "boxes")
OPTIONS = {"accelerator": "cpu", "check_every": 2, "folds": 0, "strategy": "full", "patience": 0}


@pytest.fixture
def options(tmp_path: Path) -> Path:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(OPTIONS))
    return path


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path, labels=BOXES, config=TINY_UNET).path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "boxes", train=2, heldout=0)


def test_a_better_checkpoint_comes_out_and_names_its_parent(
    tmp_path: Path, options: Path, parent: Path, source: Path
) -> None:
    out = tmp_path / "child.safetensors"
    ran = hybridseg(
        "finetune", source, "-c", parent, "-o", out, "--options", options, "--steps", 4, "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["path"] == str(out)
    assert ran.json["steps"] == 4
    assert ran.json["cases"]["measured"] == "training cases"
    assert ran.json["cases"]["dice_before"] is not None
    assert ran.json["cases"]["hd95_convention"] == "monai"
    assert load_checkpoint(out).card.provenance.command.startswith("hybridseg finetune")

    shown = hybridseg("checkpoints", "lineage", out, "--json")
    assert shown.code == 0, shown.err
    youngest, oldest = shown.json["lineage"]
    assert (youngest["name"], youngest["cases"]) == ("tiny-ft", 2)
    assert (oldest["name"], oldest["file"]) == ("tiny", str(parent))

    text = hybridseg("checkpoints", "lineage", out)
    assert "tiny-ft" in text.out


def test_the_table_is_for_people(tmp_path: Path, options: Path, parent: Path, source: Path) -> None:
    out = tmp_path / "child.safetensors"
    ran = hybridseg("finetune", source, "-c", parent, "-o", out, "--options", options, "--steps", 2)
    assert ran.code == 0, ran.err
    assert "2 corrected cases, measured on the training cases" in ran.out
    assert "large box" in ran.out
    assert "flatters" in ran.err


def test_mistakes_are_one_sentence(tmp_path: Path, parent: Path, source: Path) -> None:
    ran = hybridseg("finetune", tmp_path, "-c", parent, "-o", tmp_path / "x.safetensors")
    assert ran.code == 1
    assert "holds no labelled cases" in ran.sentence
    ran = hybridseg(
        "finetune", source, "-c", parent, "-o", tmp_path / "x.safetensors", "--strategy", "magic"
    )
    assert ran.code == 1
    assert "'strategy'" in ran.sentence
    ran = hybridseg("finetune", source, "-c", parent, "-o", parent, "--overwrite")
    assert ran.code == 1
    assert "never replaced" in ran.sentence


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_fine_tune_goes_on(
    tmp_path: Path, options: Path, parent: Path, source: Path
) -> None:
    out = tmp_path / "child.safetensors"
    arguments = ["finetune", source, "-c", parent, "-o", out, "--options", options]
    command = [sys.executable, "-m", "napari_hybridseg", *map(str, arguments)]
    running = subprocess.Popen(
        [*command, "--steps", "300"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert running.stderr is not None
    for line in running.stderr:  # by the third line the states of the first two are on the disk
        if line.startswith(b"step 6: loss"):
            break
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert not out.exists()
    ran = hybridseg(*arguments, "--steps", 300)
    assert ran.code == 0, ran.err
    assert "Going on with an interrupted fine-tune." in ran.err
    assert sorted(p.name for p in tmp_path.glob("child*")) == ["child.safetensors"]
    load_checkpoint(out).build_network()


@pytest.mark.slow
def test_two_processes_make_one_better_checkpoint(
    tmp_path: Path, options: Path, parent: Path, source: Path
) -> None:
    out = tmp_path / "child.safetensors"
    arguments = ["finetune", source, "-c", parent, "-o", out, "--options", options]
    ran = hybridseg_process(*arguments, "--steps", 6, "--devices", 2, "--threads", 1, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["path"], ran.json["steps"]) == (str(out), 6)
    before, after = load_checkpoint(parent).weights(), load_checkpoint(out).weights()
    assert any((after[name] != value).any() for name, value in before.items())
