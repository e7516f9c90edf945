"""Scoring a checkpoint on labelled cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.inference import segment
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics import ScoreReport, score
from napari_hybridseg.model_card import Evaluation, OrganResult
from napari_hybridseg.training.dataset import Case
from napari_hybridseg.volume import load_label_map, load_volume


def evaluate(
    checkpoint: Checkpoint,
    cases: Sequence[Case],
    data: str,
    options: SegmentOptions | None = None,
) -> Iterator[Event]:
    """Segment and score cases; the last event is a ``Result`` with an :class:`Evaluation`.

    An organ's Dice and HD95 are means over the cases in which they are defined; the mean Dice is
    the mean over organs.
    """
    # the network itself is measured here, and not what else may run it
    options = options or SegmentOptions(backend="torch")
    network = checkpoint.build_network()
    reports: list[ScoreReport] = []
    for case in cases:
        volume = load_volume(case.image)
        reference = load_label_map(case.label, checkpoint.card.labels)
        for event in segment(volume, checkpoint, options, network=network):
            if isinstance(event, Result):
                reports.append(score(event.value, reference))
        yield Progress("Scoring held-out cases", len(reports), len(cases))
    yield Result(summarise(reports, data))


def summarise(reports: Sequence[ScoreReport], data: str) -> Evaluation:
    """Average reports of several cases organ by organ."""
    # by number, not by name: two organs may be called the same
    names = {organ.label: organ.name for report in reports for organ in report.organs}
    organs = []
    for label, name in names.items():
        scores = [o for report in reports for o in report.organs if o.label == label]
        organs.append(
            OrganResult(
                name=name,
                dice=_mean([o.dice for o in scores]),
                hd95_mm=_mean([o.hd95_mm for o in scores]),
            )
        )
    return Evaluation(
        data=data,
        cases=len(reports),
        mean_dice=_mean([o.dice for o in organs]) or 0.0,
        mean_hd95_mm=_mean([o.hd95_mm for o in organs]),
        hd95_convention=reports[0].convention,
        organs=tuple(organs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None
