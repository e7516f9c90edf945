"""The card of a fine-tuned checkpoint: where it comes from, and what was measured."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError

from napari_hybridseg import __version__
from napari_hybridseg.finetune.fitting import Recipe
from napari_hybridseg.finetune.options import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.report import ScoreTable
from napari_hybridseg.finetune.sources import Source, TrainingCase
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import (
    DataSource,
    Evaluation,
    ModelCard,
    OrganResult,
    Provenance,
)
from napari_hybridseg.training.card import hardware
from napari_hybridseg.training.options import Augmentation


def child_card(parent: ModelCard, scheme: LabelScheme, name: str) -> ModelCard:
    """Give the parent's card with the new labels and name, and none of the parent's scores."""
    return parent.model_copy(
        update={
            "name": name or _next_name(parent.name),
            "labels": scheme,
            "evaluation": (),
            "provenance": Provenance(),
        }
    )


def card_augmentation(parent: ModelCard) -> Augmentation:
    """Give the augmentation that the parent was trained with, where its card says."""
    named = parent.provenance.protocol.get("augmentation")
    if isinstance(named, dict):
        try:
            return Augmentation.model_validate(named)
        except ValidationError:
            pass  # a card of another program may mean something else by the word
    return Augmentation(flip_axes=parent.windows.mirror_axes)


def finished_card(
    card: ModelCard,
    parent: ModelCard,
    parent_sha256: str,
    start_sha256: str,
    recipe: Recipe,
    augmentation: Augmentation,
    scanner: ScannerAugmentation,
    source: Source,
    learnt: Sequence[TrainingCase],
    rehearsal: Source | None,
    rehearsed: Sequence[TrainingCase],
    tables: tuple[ScoreTable | None, ScoreTable | None],
    verdict: tuple[bool, str],
    steps: int,
    minutes: float,
    command: str,
) -> ModelCard:
    """Write down what a fine-tune did. Cases are named by their hashes alone."""
    data = [*parent.provenance.data, _data(source, learnt)]
    if rehearsal is not None:
        data.append(_data(rehearsal, rehearsed))
    protocol: dict[str, Any] = {
        "fine_tune": _settings(recipe, scanner),
        "augmentation": augmentation.model_dump(mode="json"),
        "ancestors": [
            *parent.provenance.protocol.get("ancestors", ()),
            {"name": parent.name, "sha256": parent_sha256},
        ],
        "taught_before_sha256": start_sha256,
        "steps": steps,
        "case_sha256": [case.sha256 for case in learnt],
        "rehearsed_sha256": [case.sha256 for case in rehearsed],
        "scores": {table.measured: _scores(table) for table in tables if table is not None},
        "recommended": verdict[0],
        "verdict": verdict[1],
    }
    return card.model_copy(
        update={
            "provenance": Provenance(
                created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                software=f"napari-hybridseg {__version__}, torch {torch.__version__}",
                command=command,
                seed=recipe.options.seed,
                minutes=round(minutes, 1),
                hardware=hardware(),
                parent_sha256=parent_sha256,
                data=tuple(data),
                protocol=protocol,
            ),
            "evaluation": tuple(
                _evaluation(table)
                for table in tables
                if table is not None and table.measured != "training cases"
            ),
        }
    )


def _settings(recipe: Recipe, scanner: ScannerAugmentation) -> dict[str, Any]:
    options: FineTuneOptions = recipe.options
    said = options.model_dump(
        mode="json",
        exclude={"rehearse", "guard", "start_from", "threads", "name", "augmentation"},
    )
    said.update(
        strategy=recipe.strategy,
        learning_rate=recipe.rate,
        pull=recipe.pull,
        scanner=scanner.model_dump(mode="json"),
    )
    return said


def _data(source: Source, cases: Sequence[TrainingCase]) -> DataSource:
    used = Source(source.name, tuple(cases))
    return DataSource(
        name=source.name,
        licence=source.licence,
        attribution=source.attribution,
        cases=len(cases),
        sha256=used.sha256,
    )


def _scores(table: ScoreTable) -> dict[str, Any]:
    return {
        "data": table.data,
        "cases": len(table.cases),
        "dice_before": table.dice_before,
        "dice_after": table.dice_after,
        "organs": [organ.model_dump(mode="json") for organ in table.organs],
    }


def _evaluation(table: ScoreTable) -> Evaluation:
    dice = [organ.dice_after for organ in table.organs if organ.dice_after is not None]
    hd95 = [organ.hd95_after_mm for organ in table.organs if organ.hd95_after_mm is not None]
    return Evaluation(
        data=table.data,
        cases=len(table.cases),
        mean_dice=round(sum(dice) / len(dice), 4) if dice else 0.0,
        mean_hd95_mm=round(sum(hd95) / len(hd95), 4) if hd95 else None,
        hd95_convention=table.hd95_convention,
        organs=tuple(
            OrganResult(name=o.name, dice=o.dice_after, hd95_mm=o.hd95_after_mm)
            for o in table.organs
        ),
    )


def _next_name(name: str) -> str:
    found = re.fullmatch(r"(.*)-ft(\d*)", name)
    if found is None:
        return f"{name}-ft"
    return f"{found[1]}-ft{int(found[2] or 1) + 1}"
