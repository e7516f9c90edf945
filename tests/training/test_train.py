from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY_UNET, write_dataset

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Metric, Note, Progress, Result
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.model_card import ZScore
from napari_hybridseg.networks import create_network
from napari_hybridseg.training import TrainOptions
from napari_hybridseg.training.state import StateError
from napari_hybridseg.training.train import TrainingError, train

DROPPING = TINY_UNET | {"dropout": 0.2}
SHORT: dict[str, Any] = {
    "architecture": "unet",
    "config": DROPPING,
    "patch_size": (8, 8, 8),
    "steps": 6,
    "save_every": 2,
    "log_every": 2,
    "accelerator": "cpu",
    "half_weights": False,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data set without held-out cases."""
    return write_dataset(tmp_path_factory.mktemp("alone"), heldout=0)


def run(dataset: Path, out: Path, **options: Any) -> list[Event]:
    return list(train(dataset, out, TrainOptions(**(SHORT | options))))


def checkpoint_of(events: list[Event]) -> Checkpoint:
    assert [e for e in events if isinstance(e, Result)] == events[-1:]
    return events[-1].value  # type: ignore[union-attr]


def log_of(out: Path) -> list[dict[str, str]]:
    with out.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    torch.testing.assert_close(one.weights(), other.weights(), rtol=0, atol=0)


def test_it_learns_and_says_what_it_did(boxes: Path, tmp_path: Path) -> None:
    events = list(
        train(
            boxes,
            tmp_path / "boxes.safetensors",
            TrainOptions(
                **(SHORT | {"steps": 40, "log_every": 5, "config": TINY_UNET, "seed": 4}),
                learning_rate=2e-2,
                ema_decay=0.9,
                name="boxes-unet",
                description="finds boxes",
            ),
            command="hybridseg train boxes",
        )
    )
    losses = [e for e in events if isinstance(e, Metric)]
    assert [e.step for e in losses] == list(range(5, 41, 5))
    assert losses[-1].value < 0.5 * losses[0].value
    stages = list(dict.fromkeys(e.stage for e in events if isinstance(e, Progress)))
    assert stages == ["Reading cases", "Training", "Scoring held-out cases"]

    checkpoint = checkpoint_of(events)
    card = checkpoint.card
    assert load_checkpoint(tmp_path / "boxes.safetensors").card == card
    assert (card.name, card.description) == ("boxes-unet", "finds boxes")
    assert card.architecture == "unet"
    assert card.config["channels"] == [4, 8]
    assert card.config["norm"]  # settings that were not given are spelled out too
    assert (card.in_channels, card.modality) == (1, "MR")
    assert [organ.name for organ in card.labels.organs] == ["large box", "small box"]
    assert card.preprocessing.intensity == ZScore()
    assert card.windows.size == (8, 8, 8)
    assert (card.licence, card.attribution) == ("CC0-1.0", "nobody")
    assert card.provenance.seed == 4
    assert card.provenance.command == "hybridseg train boxes"
    assert card.provenance.minutes is not None
    assert card.provenance.created
    assert "torch" in card.provenance.software
    assert card.provenance.hardware
    assert card.provenance.protocol["steps"] == 40
    (source,) = card.provenance.data
    assert (source.name, source.cases, len(source.sha256)) == ("boxes", 3, 64)
    (evaluation,) = card.evaluation
    assert (evaluation.cases, evaluation.data) == (1, "boxes, held-out cases")
    assert [organ.name for organ in evaluation.organs] == ["large box", "small box"]
    assert evaluation.mean_dice > 0.3  # an untrained network has less than 0.15

    checkpoint.build_network()
    assert sorted(os.listdir(tmp_path)) == ["boxes.csv", "boxes.safetensors"]
    log = log_of(tmp_path / "boxes.safetensors")
    assert [int(row["step"]) for row in log] == list(range(5, 41, 5))
    assert float(log[-1]["loss"]) == pytest.approx(losses[-1].value, abs=1e-5)
    assert float(log[-1]["learning_rate"]) < float(log[1]["learning_rate"])


def test_the_same_seed_gives_the_same_weights(alone: Path, tmp_path: Path) -> None:
    one, same, other = (
        checkpoint_of(run(alone, tmp_path / f"{name}.safetensors", seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert_same_weights(one, same)
    assert any(not torch.equal(w, other.weights()[k]) for k, w in one.weights().items())
    assert one.card.evaluation == ()


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_an_interrupted_run_ends_with_the_same_weights(
    alone: Path, tmp_path: Path, stop: int
) -> None:
    whole = run(alone, tmp_path / "whole.safetensors")

    out = tmp_path / "parts.safetensors"
    _stop_after(stop, alone, out)
    assert out.with_suffix(".state").is_file()
    assert not out.exists()
    torch.rand(7)  # whatever else uses random numbers in between
    rest = run(alone, out)

    assert any("after step" in e.message for e in rest if isinstance(e, Note))
    assert min(e.done for e in rest if isinstance(e, Progress) and e.stage == "Training") > 1
    assert_same_weights(checkpoint_of(whole), checkpoint_of(rest))
    assert [row["step"] for row in log_of(out)] == ["2", "4", "6"]
    assert [row["loss"] for row in log_of(out)] == [
        row["loss"] for row in log_of(tmp_path / "whole.safetensors")
    ]
    assert not out.with_suffix(".state").exists()


def test_a_run_does_not_go_on_with_another_runs_state(alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    events = train(alone, out, TrainOptions(**SHORT))
    for event in events:
        if isinstance(event, Metric):
            break
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(StateError, match="other options"):
        run(alone, out, seed=9)


def test_what_does_not_touch_the_weights_may_change_on_the_way(alone: Path, tmp_path: Path) -> None:
    whole = run(alone, tmp_path / "whole.safetensors")
    out = tmp_path / "parts.safetensors"
    _stop_after(2, alone, out)
    changed = run(alone, out, description="clearer", minutes=10, save_every=5, overlap=0.25)
    assert any("after step 2" in e.message for e in changed if isinstance(e, Note))
    checkpoint = checkpoint_of(changed)
    assert (checkpoint.card.description, checkpoint.card.windows.overlap) == ("clearer", 0.25)
    assert_same_weights(checkpoint_of(whole), checkpoint)


def test_the_log_does_not_depend_on_when_the_state_is_saved(alone: Path, tmp_path: Path) -> None:
    run(alone, tmp_path / "whole.safetensors", log_every=3, save_every=100)
    out = tmp_path / "parts.safetensors"
    _stop_after(5, alone, out, log_every=3, save_every=4)
    run(alone, out, log_every=3, save_every=4)
    whole = log_of(tmp_path / "whole.safetensors")
    assert [row["step"] for row in whole] == ["3", "6"]
    assert [(r["step"], r["loss"]) for r in log_of(out)] == [(r["step"], r["loss"]) for r in whole]


def _stop_after(step: int, dataset: Path, out: Path, **options: Any) -> None:
    events = train(dataset, out, TrainOptions(**(SHORT | options)))
    for event in events:
        if isinstance(event, Progress) and event.stage == "Training" and event.done == step:
            break
    events.close()  # type: ignore[attr-defined]


def test_the_time_is_kept(alone: Path, tmp_path: Path) -> None:
    events = run(alone, tmp_path / "x.safetensors", steps=100_000, minutes=0.01, log_every=10**6)
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "Training"]
    assert 1 <= len(steps) < 10_000
    assert steps[-1].eta_s is not None
    assert steps[-1].eta_s < 0.6
    (row,) = log_of(tmp_path / "x.safetensors")
    assert int(row["step"]) == steps[-1].done
    assert float(row["learning_rate"]) < 1e-3


def test_a_short_run_is_logged_too(alone: Path, tmp_path: Path) -> None:
    events = run(alone, tmp_path / "x.safetensors", steps=3, log_every=200)
    assert [e.step for e in events if isinstance(e, Metric)] == [3]
    assert [row["step"] for row in log_of(tmp_path / "x.safetensors")] == ["3"]


@pytest.mark.parametrize("axis", [None, 2])
def test_a_2d_network_learns_from_slices(alone: Path, tmp_path: Path, axis: int | None) -> None:
    flat = TINY_UNET | {"spatial_dims": 2}
    events = run(alone, tmp_path / "x.safetensors", config=flat, slice_axis=axis, steps=2)
    windows = checkpoint_of(events).card.windows
    assert windows.slice_axis == (axis or 0)
    assert windows.size == ((1, 8, 8) if axis is None else (8, 8, 1))


def test_the_window_is_what_half_of_the_cases_fill(alone: Path, tmp_path: Path) -> None:
    events = run(alone, tmp_path / "x.safetensors", patch_size=None, steps=1)
    assert checkpoint_of(events).card.windows.size == (10, 12, 12)


def test_all_heads_learn(alone: Path, tmp_path: Path) -> None:
    deep = {
        "channels": [4, 8, 8],
        "kernels": [3, 3, 3],
        "strides": [1, 2, 2],
        "deep_supervision": 1,
    }
    options = {"architecture": "dynunet", "config": deep, "steps": 2, "ema_decay": 0}
    checkpoint = checkpoint_of(run(alone, tmp_path / "x.safetensors", **options))
    torch.manual_seed(0)
    fresh = create_network("dynunet", 1, 3, **deep).state_dict()
    heads = [k for k in fresh if "deep_supervision" in k and k.endswith("conv.weight")]
    assert heads
    for key, weights in checkpoint.weights().items():
        if key in heads:
            assert not torch.equal(weights, fresh[key])


def test_an_overwritten_checkpoint_is_asked_for(alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    run(alone, out, steps=1)
    before = out.read_bytes()
    with pytest.raises(WriteError, match="exists already"):
        run(alone, out, steps=1, seed=1)
    assert out.read_bytes() == before
    list(train(alone, out, TrainOptions(**(SHORT | {"steps": 1, "seed": 1})), overwrite=True))
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("out", "options", "error", "words"),
    [
        ("x.pth", {}, CheckpointError, r"ends in \.safetensors"),
        ("gone/x.safetensors", {}, WriteError, "cannot be written"),
        ("x.safetensors", {"architecture": "ufo"}, HybridSegError, "no architecture 'ufo'"),
        ("x.safetensors", {"config": {"wings": 2}}, HybridSegError, "no setting 'wings'"),
        ("x.safetensors", {"slice_axis": 0}, TrainingError, "leave out slice_axis"),
        ("x.safetensors", {"learning_rate": 1e20}, TrainingError, "the loss is no number"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(
    alone: Path,
    tmp_path: Path,
    out: str,
    options: dict[str, Any],
    error: type[HybridSegError],
    words: str,
) -> None:
    seen: list[Event] = []
    with pytest.raises(error, match=words) as caught:
        seen.extend(train(alone, tmp_path / out, TrainOptions(**(SHORT | options))))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / out).exists()


def test_scores_next_to_the_checkpoint_are_not_taken_for_the_log(
    alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "liver.csv").write_text("organ,Dice\n")
    with pytest.raises(WriteError, match="would be the training log"):
        run(alone, tmp_path / "liver.safetensors")
    assert (tmp_path / "liver.csv").read_text() == "organ,Dice\n"


@pytest.mark.parametrize(
    "values",
    [{"name": "two words"}, {"steps": 0}, {"minutes": 0}, {"patch_size": (0, 8, 8)}, {"x": 1}],
    ids=json.dumps,
)
def test_options_are_checked_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        TrainOptions(**values)
