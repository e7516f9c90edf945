"""What the Correct and Teach sections know of a correction set, and of a fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from psygnal import EventedModel
from pydantic import ConfigDict, Field

from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport
from napari_hybridseg.widgets.state import FaceState


class CurvePoint(NamedTuple):
    """One measured number of a training."""

    step: int
    value: float


class SetFacts(NamedTuple):
    """What the face says about a correction set; ``problem`` says why it cannot be used."""

    folder: Path
    cases: tuple[str, ...] = ()
    problem: str = ""


class TeachState(EventedModel):
    """The state of a panel's Teach section.

    ``curves`` holds the measured numbers by name, ``report`` how the last fine-tune ended.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    corrections: SetFacts | None = None
    options: FineTuneOptions = FineTuneOptions(minutes=10)
    curves: dict[str, tuple[CurvePoint, ...]] = Field(default_factory=dict)
    is_paused: bool = False
    is_finishing: bool = False
    report: FineTuneReport | None = None


def why_not_teach(face: FaceState, state: TeachState) -> str:
    """Say in one sentence why a fine-tune cannot start, or nothing."""
    if face.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if face.checkpoint is None or face.checkpoint.card is None:
        return "Choose the checkpoint that is to learn."
    if state.corrections is None:
        return "Choose a correction set, or accept a first case."
    if state.corrections.problem:
        return state.corrections.problem
    if not state.corrections.cases:
        return "The correction set is empty; accept a case first."
    return ""
