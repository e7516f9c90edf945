"""What a fine-tune has done so far, on disk, so that it can go on after it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.events import Note
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.scoring import Scores
from napari_hybridseg.metrics import ScoreReport
from napari_hybridseg.training.state import load_state, save_state

_PLAIN = (
    "seconds",
    "cases_s",
    "guard_s",
    "folds",
    "final",
    "weights",
    "folds_done",
    "learner",
    "learner_of",
)
_SCORES = ("before", "after", "guard_before", "guard_after")


@dataclass
class Ledger:
    """The results of a job's parts, and the state of the training that is under way.

    Attributes
    ----------
    path : Path
        The file.
    fingerprint : str
        Names the job: parent, cases and options.
    seconds : float
        What the job spent until it was saved last.
    cases_s, guard_s : float
        What the parent's scoring on the cases and on the guard set took.
    before, after, guard_before, guard_after : dict
        Scores by case.
    final : dict
        How the training on all cases ended: ``{"ending", "steps"}``; empty before.
    weights : dict
        What it gave.
    folds : int or None
        Parts of the cross-validation, once that is settled.
    folds_done : int
        Parts of the cross-validation that are trained and scored.
    learner, learner_of : dict, str
        The state of the training under way, and its name.
    """

    path: Path
    fingerprint: str
    seconds: float = 0.0
    cases_s: float = 0.0
    guard_s: float = 0.0
    before: Scores = field(default_factory=dict)
    after: Scores = field(default_factory=dict)
    guard_before: Scores = field(default_factory=dict)
    guard_after: Scores = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    folds: int | None = None
    folds_done: int = 0
    learner: Mapping[str, Any] = field(default_factory=dict)
    learner_of: str = ""
    _has_failed: bool = False

    def save(self) -> Note | None:
        """Write the file; where the disk refuses, say so once: the training need not end."""
        content = {
            "fingerprint": self.fingerprint,
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: _dumped(getattr(self, name)) for name in _SCORES},
        }
        try:
            save_state(self.path, content)
        except WriteError as error:
            if self._has_failed:
                return None
            self._has_failed = True
            return Note(f"If this is interrupted it cannot be taken up again: {error}")
        return None

    def load(self) -> bool:
        """Read the file; False if there is none.

        Raises
        ------
        StateError
            If it is damaged, or of another job.
        """
        state = load_state(self.path, self.fingerprint)
        if state is None:
            return False
        for name in _PLAIN:
            setattr(self, name, state[name])
        for name in _SCORES:
            reports = {k: ScoreReport.model_validate_json(v) for k, v in state[name].items()}
            setattr(self, name, reports)
        return True


def fingerprint(options: FineTuneOptions, parent: str, hashes: Iterable[str]) -> str:
    """Name a job. Time and threads may change between its parts."""
    elsewhere = {"minutes", "threads", "guard", "rehearse", "start_from"}
    chosen = options.model_dump(mode="json", exclude=elsewhere)
    return hashlib.sha256(json.dumps([chosen, parent, *hashes]).encode()).hexdigest()


def _dumped(scores: Scores) -> dict[str, str]:
    return {key: report.model_dump_json() for key, report in scores.items()}
