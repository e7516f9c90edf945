from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from finetune_support import SHORT, boxes, notes_of, parent_of_boxes, report_of, run
from helpers import grid

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Metric, Progress
from napari_hybridseg.finetune import FineTuneError, FineTuneOptions
from napari_hybridseg.finetune import learner as learner_module
from napari_hybridseg.finetune.job import finetune
from napari_hybridseg.finetune.lineage import lineage_of
from napari_hybridseg.formats import write_image
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.metrics import score
from napari_hybridseg.training.dataset import read_dataset
from napari_hybridseg.training.state import StateError
from napari_hybridseg.volume import load_label_map, load_volume


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return boxes(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parent_of_boxes(tmp_path_factory.mktemp("parent")).path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hd95_of(checkpoint: Checkpoint, source: Path) -> dict[int, float]:
    """Segment the cases anew, and give each organ's mean HD95 in millimetres."""
    found: dict[int, list[float]] = {}
    for case in read_dataset(source).train:
        *_, last = segment(load_volume(case.image), checkpoint, SegmentOptions(device="cpu"))
        for organ in score(last.value, load_label_map(case.label, checkpoint.card.labels)).organs:
            if organ.hd95_mm is not None:
                found.setdefault(organ.label, []).append(organ.hd95_mm)
    return {label: float(np.mean(distances)) for label, distances in found.items()}


def test_it_learns_and_says_what_it_did(source: Path, parent: Path, tmp_path: Path) -> None:
    before = digest(parent)
    options = {"steps": 40, "check_every": 10, "learning_rate": 2e-2, "ema_decay": 0.8, "pull": 0}
    events = run(source, parent, tmp_path / "new.safetensors", guard=source, **options)
    report = report_of(events)
    assert digest(parent) == before == report.parent_sha256
    losses = [e.value for e in events if isinstance(e, Metric) and e.name == "loss"]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
    assert (report.steps, report.ending, report.strategy) == (40, "all steps", "full")
    assert report.cases is not None
    assert report.cases.measured == "training cases"
    assert report.cases.gain > 0.2
    assert "flatters" in report.verdict
    assert report.guard is None  # all of its cases were learnt from
    assert report.recommended

    child = load_checkpoint(report.path)
    for side, checkpoint in (("before", load_checkpoint(parent)), ("after", child)):
        told = {o.label: getattr(o, f"hd95_{side}_mm") for o in report.cases.organs}
        known = {label: distance for label, distance in told.items() if distance is not None}
        assert known == pytest.approx(hd95_of(checkpoint, source), abs=1e-3)
        assert known
    assert (child.card.name, child.sha256) == ("tiny-ft", report.sha256)
    provenance = child.card.provenance
    assert provenance.parent_sha256 == before
    assert len(provenance.protocol["case_sha256"]) == 3
    assert provenance.protocol["fine_tune"]["strategy"] == "full"
    assert provenance.protocol["scores"]["training cases"]["dice_after"] > 0.2
    assert child.card.evaluation == ()  # the training cases prove nothing
    child.build_network()
    assert sorted(os.listdir(tmp_path)) == ["new.safetensors"]
    youngest, oldest = lineage_of(child, [parent])
    assert (youngest.cases, oldest.name, oldest.file) == (3, "tiny", parent)


def test_three_cases_are_cross_validated(source: Path, parent: Path, tmp_path: Path) -> None:
    events = run(source, parent, tmp_path / "new.safetensors", folds=3, steps=2)
    report = report_of(events)
    assert report.cases is not None
    assert report.cases.measured == "cross-validated"
    assert len(report.cases.cases) == 3
    assert [organ.name for organ in report.cases.organs] == ["large box", "small box"]
    for organ in report.cases.organs:
        assert None not in (organ.dice_before, organ.dice_after)
    (measured,) = load_checkpoint(report.path).card.evaluation
    assert "cross-validated in 3 parts" in measured.data
    stages = {e.stage for e in events if isinstance(e, Progress)}
    assert {"Training", "Training, part 1 of 3", "Training, part 3 of 3"} <= stages
    steps = [e.step for e in events if isinstance(e, Metric) and e.name == "loss"]
    assert steps == [2, 4, 6, 8]
    assert any(isinstance(e, Metric) and e.name == "validation Dice" for e in events)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_fine_tune_ends_with_the_same_weights(
    source: Path, parent: Path, tmp_path: Path, stop: int
) -> None:
    options = {"folds": 3, "steps": 2, "check_every": 1}
    whole = report_of(run(source, parent, tmp_path / "whole.safetensors", **options))
    out = tmp_path / "parts.safetensors"
    events = finetune(source, parent, out, FineTuneOptions(**(SHORT | options)))
    seen = 0
    for event in events:
        seen += isinstance(event, Progress) and event.stage.startswith("Training")
        if seen == stop:
            break
    events.close()  # type: ignore[attr-defined]
    assert not out.exists()
    assert out.with_suffix(".state").is_file()
    torch.rand(7)
    rest = run(source, parent, out, **options)
    assert "Going on with an interrupted fine-tune." in notes_of(rest)
    report = report_of(rest)
    one, other = (load_checkpoint(r.path).weights() for r in (whole, report))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert report.cases == whole.cases
    assert not out.with_suffix(".state").exists()


def test_another_jobs_state_is_not_taken_up(source: Path, parent: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    events = finetune(source, parent, out, FineTuneOptions(**SHORT))
    next(e for e in events if isinstance(e, Metric))
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(StateError, match="other options or data"):
        run(source, parent, out, seed=5)


def test_stopping_keeps_the_best_weights_so_far(source: Path, parent: Path, tmp_path: Path) -> None:
    asked: list[Event] = []
    options = FineTuneOptions(**(SHORT | {"steps": 1000, "folds": 3}))
    events = finetune(
        source, parent, tmp_path / "x.safetensors", options, stop=lambda: len(asked) > 3
    )
    collected = []
    for event in events:
        collected.append(event)
        if isinstance(event, Progress) and event.stage == "Training":
            asked.append(event)
    report = report_of(collected)
    assert report.ending == "stopped"
    assert report.steps == 5
    assert report.cases is not None
    assert report.cases.measured == "training cases"
    load_checkpoint(report.path).build_network()


def test_what_is_kept_when_it_is_stopped_is_the_best_and_not_the_last(
    source: Path, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.4, 5: 0.3}
    honest = learner_module._check

    def check(learner: Any, monitors: object, first_step: int, losses: list[float]) -> Any:
        told = SimpleNamespace(dice=lambda *_: seen[learner.step])
        return honest(learner, {"Dice": told}, first_step, losses)

    monkeypatch.setattr(learner_module, "_check", check)
    options = FineTuneOptions(
        **(SHORT | {"steps": 1000, "check_every": 1, "learning_rate": 1e-2, "ema_decay": 0.5})
    )

    def stopped_at(step: int, name: str) -> dict[str, torch.Tensor]:
        events: list[Event] = []

        def is_time() -> bool:
            done = [e.done for e in events if isinstance(e, Progress) and e.stage == "Training"]
            return max(done, default=0) + 1 >= step

        for event in finetune(source, parent, tmp_path / name, options, stop=is_time):
            events.append(event)
        report = report_of(events)
        assert (report.ending, report.steps) == ("stopped", step)
        return dict(load_checkpoint(report.path).weights())

    best = stopped_at(2, "two.safetensors")
    later = stopped_at(5, "five.safetensors")
    torch.testing.assert_close(later, best, rtol=0, atol=0)
    seen.update({3: 0.91, 4: 0.92, 5: 0.93})
    better = stopped_at(5, "better.safetensors")
    assert any(not torch.equal(better[name], best[name]) for name in best)


def test_it_ends_early_when_nothing_is_gained(source: Path, parent: Path, tmp_path: Path) -> None:
    options = {"steps": 1000, "learning_rate": 1e-9, "patience": 3}
    report = report_of(run(source, parent, tmp_path / "x.safetensors", **options))
    assert (report.ending, report.steps) == ("early stop", 8)  # one gain over nothing, three not


def test_the_parent_is_never_replaced(source: Path, tmp_path: Path) -> None:
    parent = parent_of_boxes(tmp_path / "p").path
    before = digest(parent)
    with pytest.raises(FineTuneError, match="never replaced"):
        list(finetune(source, parent, parent, FineTuneOptions(**SHORT), overwrite=True))
    link = tmp_path / "link.safetensors"
    link.symlink_to(parent)
    with pytest.raises(FineTuneError, match="never replaced"):
        list(finetune(source, parent, link, FineTuneOptions(**SHORT), overwrite=True))
    assert digest(parent) == before


def test_a_poisoned_case_is_told_of_and_left_out(parent: Path, tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes")
    image = np.full((10, 12, 12), np.nan, np.float32)
    image[2:] = 1.0
    write_image(source.parent / "image1.nii.gz", image, grid((10, 12, 12)), overwrite=True)
    events = run(source, parent, tmp_path / "x.safetensors")
    report = report_of(events)
    (sentence,) = report.left_out
    assert sentence.startswith("image1 is left out: 288 voxels of its image are not numbers")
    assert sentence in notes_of(events)
    assert len(load_checkpoint(report.path).card.provenance.protocol["case_sha256"]) == 2


def test_nothing_but_poison_is_refused(parent: Path, tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes", cases=1)
    image = np.full((10, 12, 12), np.nan, np.float32)
    image[0] = 0
    write_image(source.parent / "image0.nii.gz", image, grid((10, 12, 12)), overwrite=True)
    with pytest.raises(FineTuneError, match="no case to learn from: image0 is left out"):
        run(source, parent, tmp_path / "x.safetensors")


def test_a_label_on_another_grid_is_refused(parent: Path, tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes")
    label = np.ones((10, 12, 12), np.uint8) * 2
    other = grid((10, 12, 12), spacing=(2.0, 2.0, 2.0))
    write_image(source.parent / "label1.nii.gz", label, other, overwrite=True)
    with pytest.raises(FineTuneError, match=r"label1.nii.gz does not lie on the grid of"):
        run(source, parent, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_case_that_is_removed_meanwhile_is_survived(parent: Path, tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes")
    events = []
    for event in finetune(source, parent, tmp_path / "x.safetensors", FineTuneOptions(**SHORT)):
        events.append(event)
        if isinstance(event, Progress) and event.stage == "Training" and event.done == 1:
            (source.parent / "image1.nii.gz").unlink()
    report = report_of(events)
    assert report.cases is not None
    assert [case.name for case in report.cases.cases] == ["image0", "image2"]
    assert any(note.startswith("image1 is not scored") for note in notes_of(events))


def test_a_full_disk_leaves_nothing_half_written(
    source: Path, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    events = []
    generator = finetune(source, parent, tmp_path / "x.safetensors", FineTuneOptions(**SHORT))
    with pytest.raises(HybridSegError, match="No space left on device"):  # noqa: PT012
        for event in generator:
            events.append(event)
            if isinstance(event, Progress) and event.stage == "Training" and event.done == 1:
                monkeypatch.setattr(os, "fsync", full)
    said = [note for note in notes_of(events) if "cannot be taken up again" in note]
    assert len(said) == 1  # the training goes on, and it is said once
    assert [name for name in os.listdir(tmp_path) if "state" not in name] == []


def test_a_time_budget_is_kept(source: Path, parent: Path, tmp_path: Path) -> None:
    options = {"steps": 10**6, "minutes": 0.1, "check_every": 10**6}
    report = report_of(run(source, parent, tmp_path / "x.safetensors", **options))
    assert report.ending == "time"
    assert report.minutes < 0.15


def test_too_little_time_is_refused(source: Path, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(FineTuneError, match="minutes are too short"):
        run(source, parent, tmp_path / "x.safetensors", minutes=0.0001)


def test_a_worse_model_is_not_recommended(parent: Path, source: Path, tmp_path: Path) -> None:
    good = report_of(
        run(
            source,
            parent,
            tmp_path / "good.safetensors",
            steps=40,
            learning_rate=2e-2,
            ema_decay=0.8,
            pull=0,
        )
    )
    wrong = boxes(tmp_path / "wrong", cases=1, _0="background", _5="large box", _2="small box")
    content = json.loads(wrong.read_text())
    assert content["labels"]["5"] == "large box"
    report = report_of(
        run(
            wrong,
            good.path,
            tmp_path / "bad.safetensors",
            guard=source,
            steps=40,
            learning_rate=2e-2,
            ema_decay=0.8,
            pull=0,
        )
    )
    assert report.guard is not None
    assert report.guard.gain < -0.05
    assert not report.recommended
    assert "On the guard set the mean Dice fell by" in report.verdict
    assert "not recommended" in report.verdict


def test_an_organ_that_is_new_gets_a_channel(parent: Path, tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes", _0="background", _2="large box", _5="knob")
    report = report_of(run(source, parent, tmp_path / "x.safetensors"))
    assert report.added == ("knob",)
    card = load_checkpoint(report.path).card
    assert [o.name for o in card.labels.organs] == ["large box", "small box", "knob"]
    assert card.labels.ids == (2, 5, 6)
    assert report.cases is not None
    knob = next(organ for organ in report.cases.organs if organ.name == "knob")
    assert knob.dice_before is None
    assert "small box" not in [organ.name for organ in report.cases.organs]
