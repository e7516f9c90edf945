"""A fine-tune that begins with what 'teach here' learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from finetune_support import SHORT, boxes, parent_of_boxes, report_of, run

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.assist.delta import save_delta
from napari_hybridseg.corrections.manifest import sha256_of_file
from napari_hybridseg.events import Metric
from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.finetune.job import finetune
from napari_hybridseg.training.state import StateError

# too small a rate to move anything, so that what comes out is what went in
STILL = {"steps": 2, "learning_rate": 1e-12, "pull": 0.0}


def taught(folder: Path, parent: Checkpoint, sha256: str = "") -> tuple[Path, str, float]:
    """Keep a taught change of one bias; give the file, the bias and what was added."""
    name = next(n for n, v in parent.weights().items() if v.ndim == 1)
    size = parent.weights()[name].shape
    path = folder / f"taught-{len(list(folder.iterdir()))}.safetensors"
    save_delta(path, {name: np.full(size, 0.25, np.float32)}, sha256 or parent.sha256)
    return path, name, 0.25


def test_the_weights_begin_with_it_and_the_card_says_so(tmp_path: Path) -> None:
    source, parent = boxes(tmp_path / "boxes", cases=1), parent_of_boxes(tmp_path / "parent")
    start, name, added = taught(tmp_path, parent)
    report = report_of(
        run(source, parent.path, tmp_path / "a.safetensors", start_from=start, **STILL)
    )
    plain = report_of(run(source, parent.path, tmp_path / "b.safetensors", **STILL))
    child = load_checkpoint(report.path)
    before = parent.weights()
    for key, value in child.weights().items():
        expected = before[key] + added if key == name else before[key]
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(load_checkpoint(plain.path).weights()[name], before[name])
    protocol = child.card.provenance.protocol
    assert child.card.provenance.parent_sha256 == parent.sha256
    assert protocol["taught_before_sha256"] == sha256_of_file(start).sha256
    assert load_checkpoint(plain.path).card.provenance.protocol["taught_before_sha256"] == ""
    assert str(tmp_path) not in json.dumps(protocol)


def test_parts_of_a_cross_validation_begin_without_it(tmp_path: Path) -> None:
    source, parent = boxes(tmp_path / "boxes", cases=3), parent_of_boxes(tmp_path / "parent")
    name = next(n for n, v in parent.weights().items() if v.ndim == 1 and len(v) == 3)
    ruin = tmp_path / "ruin.safetensors"
    added = np.array([0.0, 1000.0, 0.0], np.float32)  # everything is the large box
    save_delta(ruin, {name: added}, parent.sha256)
    still = STILL | {"folds": 3}
    with_it = report_of(
        run(source, parent.path, tmp_path / "a.safetensors", start_from=ruin, **still)
    )
    without = report_of(run(source, parent.path, tmp_path / "b.safetensors", **still))
    assert with_it.cases.measured == "cross-validated"
    assert with_it.cases.organs == without.cases.organs


def test_a_change_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    source, parent = boxes(tmp_path / "boxes", cases=1), parent_of_boxes(tmp_path / "parent")
    foreign, _, _ = taught(tmp_path, parent, sha256="0" * 64)
    out = tmp_path / "child.safetensors"
    with pytest.raises(CorrectionError, match="was taught to another checkpoint"):
        run(source, parent.path, out, start_from=foreign)
    gone = tmp_path / "gone.safetensors"
    with pytest.raises(CorrectionError, match="cannot be read as a taught change"):
        run(source, parent.path, out, start_from=gone)
    assert not out.exists()


def test_an_interrupted_job_does_not_go_on_from_another_start(tmp_path: Path) -> None:
    source, parent = boxes(tmp_path / "boxes", cases=1), parent_of_boxes(tmp_path / "parent")
    start, _, _ = taught(tmp_path, parent)
    out = tmp_path / "child.safetensors"
    options = FineTuneOptions(**SHORT)
    events = finetune(source, parent.path, out, options)
    next(e for e in events if isinstance(e, Metric) and e.name == "loss")
    events.close()
    with pytest.raises(StateError):
        run(source, parent.path, out, start_from=start)
