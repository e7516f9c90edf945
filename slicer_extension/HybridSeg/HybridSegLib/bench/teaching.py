"""Fine-tunes: what is learnt from, how it goes, what it was worth."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from HybridSegLib.bench.live_plot import Curves, LivePlot
from HybridSegLib.bench.tables import fill_table
from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.engine.jobs import FineTuneJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Metric
from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport, ScoreTable
from napari_hybridseg.resources import user_checkpoints_folder
from napari_hybridseg.widgets.facts import CheckpointFacts, Choice

STRATEGIES = (
    Choice("auto", "automatic"),
    Choice("norms", "norms and biases (few cases, forgets least)"),
    Choice("decoder", "decoder and head"),
    Choice("full", "everything"),
)
_MEASURED = {
    "cross-validated": "Corrections, cross-validated",
    "training cases": "Measured on the training cases",
    "guard": "Guard set",
}
_NOTICEABLE = 0.005
_MINUTES = 10.0


class SetFacts(NamedTuple):
    """What the panel says about a correction set; ``problem`` says why it cannot be used."""

    folder: Path
    cases: tuple[str, ...] = ()
    problem: str = ""


class ChangeRow(NamedTuple):
    """A row of the table of before and after; ``change`` is 1 for better, -1 for worse, else 0."""

    texts: tuple[str, ...]
    is_bold: bool = False
    change: int = 0
    help_text: str = ""


class FineTuneTask:
    """One fine-tune; ``report`` is there in the end.

    Parameters
    ----------
    scene : vtkMRMLScene
    corrections : Path
    checkpoint : CheckpointFacts
    options : FineTuneOptions
    on_curves : callable
        Takes what was measured so far, by name.
    """

    name = "teach"

    def __init__(
        self,
        scene: Any,
        corrections: Path,
        checkpoint: CheckpointFacts,
        options: FineTuneOptions,
        on_curves: Callable[[Curves], None],
    ) -> None:
        self.report: FineTuneReport | None = None
        self._curves: dict[str, tuple[tuple[int, float], ...]] = {}
        self._on_curves = on_curves
        self._plot = LivePlot(scene)
        self._jobs = [
            FineTuneJob(
                source=corrections,
                checkpoint=checkpoint.path,
                out=free_name(user_checkpoints_folder(), checkpoint),
                options=options,
            )
        ]

    def next_job(self) -> FineTuneJob | None:
        """Give the one job."""
        return self._jobs.pop() if self._jobs else None

    def hear(self, event: Event) -> Event | None:
        """Draw what is measured; show every other event."""
        if not isinstance(event, Metric):
            return event
        self._curves[event.name] = (*self._curves.get(event.name, ()), (event.step, event.value))
        self._plot.show(self._curves)
        self._on_curves(dict(self._curves))
        return None

    def take(self, value: FineTuneReport) -> None:
        """Take the report."""
        self.report = value

    def finish(self) -> str:
        """Draw the last numbers, and say what it was worth."""
        assert self.report is not None
        self._plot.show(self._curves, at_once=True)
        return self.report.verdict


def options_of(text: str) -> FineTuneOptions:
    """Read options as they are kept; the defaults if they make no sense (any more)."""
    try:
        if text:
            return FineTuneOptions.model_validate_json(text)
    except ValidationError:
        pass
    return FineTuneOptions(minutes=_MINUTES)


def read_set(folder: Path) -> SetFacts:
    """Look into a correction set; a folder that is none yet is an empty one."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return SetFacts(folder)
    try:
        listed = CorrectionSet.open(folder).manifest.cases
    except HybridSegError as error:
        return SetFacts(folder, problem=str(error))
    return SetFacts(folder, tuple(case.name for case in listed))


def free_name(folder: Path, parent: CheckpointFacts) -> Path:
    """Give a file name for the child of a checkpoint that no file has."""
    name = parent.card.name if parent.card is not None else parent.path.stem
    stem = re.sub(r"-tuned-\d{8}(-\d+)?$", "", name) + time.strftime("-tuned-%Y%m%d")
    number, path = 1, folder / f"{stem}.safetensors"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.safetensors"
    return path


def change_rows(report: FineTuneReport) -> list[ChangeRow]:
    """Lay a report out as rows: a heading for each set that was scored, its organs, their mean."""
    rows = []
    for table in (report.cases, report.guard):
        if table is None:
            continue
        heading = _heading(table)
        rows.append(ChangeRow((heading,), is_bold=True, help_text=f"{table.data}\n{heading}"))
        for organ in table.organs:
            rows.append(_row(organ.name, organ))
        rows.append(_row("mean", table, is_bold=True))
    return rows


def write_changes(node: Any, report: FineTuneReport) -> None:
    """Write before and after into a table node: an organ a row, the mean of each set last."""
    names = ("dice_before", "dice_after", "hd95_before_mm", "hd95_after_mm")
    columns: dict[str, list[Any]] = {"measured": [], "organ": []} | {name: [] for name in names}
    for table in filter(None, (report.cases, report.guard)):
        for title, numbers in [*((organ.name, organ) for organ in table.organs), ("mean", table)]:
            columns["measured"].append(_heading(table))
            columns["organ"].append(title)
            for name in names:
                columns[name].append(getattr(numbers, name))
    fill_table(node, columns, texts=("measured", "organ"))
    node.SetDescription(report.verdict)


def _heading(table: ScoreTable) -> str:
    count = len(table.cases)
    heading = f"{_MEASURED[table.measured]} ({count} case{'s' if count != 1 else ''})"
    return f"{heading} · HD95: {table.hd95_convention}"


def _row(title: str, numbers: Any, *, is_bold: bool = False) -> ChangeRow:
    before, after = numbers.dice_before, numbers.dice_after
    gain = 0.0 if before is None or after is None else after - before
    texts = (
        title,
        *map(_dice, (before, after)),
        *map(_mm, (numbers.hd95_before_mm, numbers.hd95_after_mm)),
    )
    change = 0 if abs(gain) < _NOTICEABLE else 1 if gain > 0 else -1
    return ChangeRow(texts, is_bold, change)


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _mm(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
