"""What the tests of the fine-tune build their cases from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers import TINY_UNET, tiny_checkpoint, write_dataset

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Note, Result
from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport
from napari_hybridseg.finetune.job import finetune
from napari_hybridseg.labels import LabelScheme

BOXES = LabelScheme.from_names({2: "large box", 5: "small box"}, "boxes")
SHORT: dict[str, Any] = {
    "steps": 4,
    "check_every": 2,
    "strategy": "full",
    "accelerator": "cpu",
    "folds": 0,
    "patience": 0,
}


def parent_of_boxes(folder: Path, **changes: Any) -> Checkpoint:
    """Save a tiny network that knows the names of the boxes and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    return tiny_checkpoint(folder, **({"labels": BOXES, "config": TINY_UNET} | changes))


def run(source: Path, parent: Path, out: Path, **options: Any) -> list[Event]:
    """Fine-tune to the end."""
    return list(finetune(source, parent, out, FineTuneOptions(**(SHORT | options))))


def report_of(events: list[Event]) -> FineTuneReport:
    assert [e for e in events if isinstance(e, Result)] == events[-1:]
    report = events[-1].value  # type: ignore[union-attr]
    assert isinstance(report, FineTuneReport)
    return report


def notes_of(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Note)]


def boxes(folder: Path, cases: int = 3, **labels: str) -> Path:
    """Write a data set of boxes, with other label names where given."""
    path = write_dataset(folder, train=cases, heldout=0)
    if labels:
        content = json.loads(path.read_text())
        content["labels"] = {key.lstrip("_"): name for key, name in labels.items()}
        path.write_text(json.dumps(content))
    return path
