"""Whole volumes segmented and scored, before and after, within the time that there is."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn
from typing_extensions import TypeAlias

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.corrections import MergedScheme
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Note, Progress, Result
from napari_hybridseg.finetune.clock import BusyClock
from napari_hybridseg.finetune.report import (
    CaseChange,
    Measured,
    OrganChange,
    ScoreTable,
)
from napari_hybridseg.finetune.sources import TrainingCase
from napari_hybridseg.inference import segment
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics import ScoreReport, score
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip

Scores: TypeAlias = dict[str, ScoreReport]


@dataclass(frozen=True)
class ToScore:
    """A case to score, and the place of its scheme in the merged one."""

    case: TrainingCase
    table: int

    @property
    def key(self) -> str:
        """What names the case in ``Scores``."""
        return self.case.sha256


@dataclass(frozen=True)
class Scorer:
    """What scoring needs: the new card's labels, and how to segment."""

    card: ModelCard
    merged: MergedScheme
    options: SegmentOptions
    clock: BusyClock

    def score(
        self,
        network: nn.Module,
        card: ModelCard,
        wanted: Sequence[ToScore],
        stage: str,
        scores: Scores,
        until_s: float | None = None,
    ) -> Iterator[Event]:
        """Score a network on cases, into ``scores``; what is in there already is left alone.

        Parameters
        ----------
        card : ModelCard
            Of the network: the parent's knows fewer organs perhaps.
        until_s : float or None
            When the job's clock says so, no further case is begun, and one that would take
            longer is given up.
        """
        skipped = 0
        for done, item in enumerate(wanted, 1):
            if item.key not in scores:
                report: ScoreReport | None = None
                try:
                    report = yield from self._one(network, card, item, until_s)
                except HybridSegError as error:
                    yield Note(f"{item.case.name} is not scored: {error}")
                else:
                    skipped += report is None
                if report is not None:
                    scores[item.key] = report
            yield Progress(stage, done, len(wanted))
        if skipped:
            told = f"{skipped} of {counted(len(wanted), 'case')} left out to keep the time."
            yield Note(f"{stage}: {told}")

    def _one(
        self, network: nn.Module, card: ModelCard, item: ToScore, until_s: float | None
    ) -> Generator[Event, None, ScoreReport | None]:
        if until_s is not None and self.clock.seconds >= until_s:
            return None
        volume, labels = item.case.read()
        names = self._names(item.table, card)
        events = segment(
            volume, Checkpoint(Path("being-scored"), card), self.options, network=network
        )
        with closing(events):  # type: ignore[type-var]
            for event in events:
                if isinstance(event, Progress) and event.eta_s is not None:
                    yield Progress("Scoring", event.done, event.total, event.eta_s)
                    if until_s is not None and self.clock.seconds + event.eta_s > until_s:
                        return None
                if isinstance(event, Result):
                    reference = self.merged.renumber(labels.array, item.table)
                    truth = replace(labels, array=reference, scheme=self.merged.scheme)
                    return score(event.value, truth, labels=names)
        return None

    def _names(self, table: int, card: ModelCard) -> dict[int, str]:
        """Name what both the labels and the network speak of."""
        numbers = set(self.merged.tables[table].values()) & set(card.labels.ids)
        return {number: self.merged.scheme.organ(number).name for number in sorted(numbers)}


def table(
    measured: Measured,
    data: str,
    cases: Sequence[ToScore],
    before: Mapping[str, ScoreReport],
    after: Mapping[str, ScoreReport],
) -> ScoreTable | None:
    """Put two sets of scores side by side: the cases that are in both."""
    both = [item for item in cases if item.key in before and item.key in after]
    if not both:
        return None
    old, new = ([scores[item.key] for item in both] for scores in (before, after))
    labels = {organ.label: organ.name for report in (*old, *new) for organ in report.organs}
    organs = tuple(
        OrganChange(
            label=label,
            name=name,
            dice_before=_organ_mean(old, label, "dice"),
            dice_after=_organ_mean(new, label, "dice"),
            hd95_before_mm=_organ_mean(old, label, "hd95_mm"),
            hd95_after_mm=_organ_mean(new, label, "hd95_mm"),
        )
        for label, name in labels.items()
    )
    changes = tuple(
        CaseChange(name=item.case.name, dice_before=a.mean_dice, dice_after=b.mean_dice)
        for item, a, b in zip(both, old, new, strict=True)
    )
    return ScoreTable(
        measured=measured,
        data=data,
        organs=organs,
        cases=changes,
        hd95_convention=new[0].convention,
    )


def mean_dice(scores: Mapping[str, ScoreReport]) -> float | None:
    """Give the mean over cases of their mean Dice; None without any."""
    known = [report.mean_dice for report in scores.values() if report.mean_dice is not None]
    return float(np.mean(known)) if known else None


def _organ_mean(reports: Sequence[ScoreReport], label: int, what: str) -> float | None:
    values = [
        getattr(organ, what)
        for report in reports
        for organ in report.organs
        if organ.label == label and getattr(organ, what) is not None
    ]
    return round(float(np.mean(values)), 4) if values else None
