"""The page that a run of the benchmarks leaves behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from claims import CLAIMS
from judging import Claim, Verdict, judge


@dataclass(frozen=True)
class Outcome:
    """What one benchmark gave; ``failure`` says why it gave nothing, or not everything."""

    name: str
    about: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Report:
    """A run of the benchmarks."""

    machine: Mapping[str, str]
    warning: str
    has_gpu: bool
    is_quick: bool
    outcomes: Sequence[Outcome]

    @property
    def verdicts(self) -> list[Verdict]:
        """What became of every claim."""
        return [self._judged(claim) for claim in CLAIMS]

    def _judged(self, claim: Claim) -> Verdict:
        found = [one for one in self.outcomes if one.name == claim.benchmark]
        if not found:
            return judge(claim, (), f"'{claim.benchmark}' was left out", self.has_gpu)
        (outcome,) = found
        small = "the small sizes of a quick run do not tell it" if self.is_quick else ""
        why = f"'{outcome.name}' failed" if outcome.failure else small
        return judge(claim, outcome.rows, why, self.has_gpu)

    def as_json(self) -> dict[str, Any]:
        """Give everything as plain data."""
        return {
            "machine": dict(self.machine),
            "warning": self.warning,
            "quick": self.is_quick,
            "claims": [
                {
                    "title": verdict.claim.title,
                    "target": str(verdict.claim.target),
                    "measured": verdict.number,
                    "unit": verdict.claim.target.unit,
                    "met": verdict.is_met,
                    "why": verdict.why,
                }
                for verdict in self.verdicts
            ],
            "benchmarks": [vars(outcome) for outcome in self.outcomes],
        }

    def markdown(self) -> str:
        """Give the page."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        kind = "quick (small sizes, few rounds: for a look, not to be quoted)"
        yield "# What the benchmarks measured"
        yield ""
        yield (
            f"Written by `hybridseg bench` on {time.strftime('%Y-%m-%d %H:%M')}"
            f"{', ' + kind if self.is_quick else ''}. Nothing here is typed in: the verdicts are "
            "computed from the rows below."
        )
        yield ""
        yield from (f"* {name}: {text}" for name, text in self.machine.items())
        yield from ("", f"**{self.warning}**") if self.warning else ()
        yield from ("", "## Claims", "")
        yield from table(
            ("claim", "target", "measured", "verdict"),
            (
                (
                    verdict.claim.title,
                    str(verdict.claim.target),
                    "-" if verdict.number is None else verdict.claim.target.worded(verdict.number),
                    verdict.told,
                )
                for verdict in self.verdicts
            ),
        )
        for outcome in self.outcomes:
            yield from ("", f"## {outcome.about} (`{outcome.name}`, {outcome.seconds:.0f} s)", "")
            if outcome.failure:
                yield from (f"It did not run to its end: {outcome.failure}", "")
            yield from tables_of(outcome.rows)


def tables_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give one table for every set of columns, in the order in which they came."""
    shapes = list(dict.fromkeys(tuple(row) for row in rows))
    for number, columns in enumerate(shapes):
        if number:
            yield ""
        shown = [row for row in rows if tuple(row) == columns]
        yield from table(columns, ([cell(row[name]) for name in columns] for row in shown))


def table(columns: Sequence[str], rows: Any) -> Iterator[str]:
    """Give a Markdown table line by line."""
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(text.replace('|', '/') for text in row)} |"


def cell(value: Any) -> str:
    """Write one value of a row for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}" if 0.99 <= value < 1 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {cell(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        joint = "x" if all(isinstance(part, int) for part in value) else ", "
        return joint.join(cell(part) for part in value)
    return " ".join(str(value).split())
