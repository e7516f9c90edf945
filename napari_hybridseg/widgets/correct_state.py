"""What the Correct section knows and shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from psygnal import EventedModel
from pydantic import ConfigDict

from napari_hybridseg.corrections.manifest import OrganEdits
from napari_hybridseg.corrections.recovery import Recoverable
from napari_hybridseg.labels import Organ
from napari_hybridseg.widgets.correct_tools import ToolChoices
from napari_hybridseg.widgets.edit_strokes import Statement
from napari_hybridseg.widgets.state import FaceState
from napari_hybridseg.widgets.teach_state import SetFacts


class CorrectionFacts(NamedTuple):
    """What the face says about the correction under way."""

    title: str
    organs: tuple[Organ, ...]
    edits: tuple[OrganEdits, ...] = ()
    edited_voxels: int = 0
    has_network: bool = False
    has_checkpoint: bool = False
    strokes: int = 0
    fresh_strokes: int = 0


class RankedScan(NamedTuple):
    """A scan of the list of what to correct next."""

    path: Path
    benefit: float
    novelty: float


class RangeBrush(NamedTuple):
    """Whether strokes only take on voxels of a range of values, and which."""

    is_on: bool = False
    low: float = 0.0
    high: float = 100.0


class CorrectState(EventedModel):
    """The state of a panel's Correct section.

    ``working`` says what a thread is doing, ``taught`` is the file of a taught change that waits
    to be kept or dropped.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    correction: CorrectionFacts | None = None
    recoverable: tuple[Recoverable, ...] = ()
    working: str = ""
    organ: int = 0
    choices: ToolChoices = ToolChoices()
    brush: RangeBrush = RangeBrush()
    statements: tuple[Statement, ...] = ()
    statement: int = 0
    taught: Path | None = None
    ranking: tuple[RankedScan, ...] = ()


def why_not_correct(face: FaceState, state: CorrectState) -> str:
    """Say in one sentence why a correction cannot be begun, or nothing."""
    if state.working:
        return f"{state.working}; wait a moment."
    if not face.volume:
        return "Open a volume first: drop a file into the window, or File › Open Sample."
    if face.volume_facts is None or face.volume_facts.problem:
        return face.volume_facts.problem if face.volume_facts else "The volume is being read."
    if face.checkpoint is None or face.checkpoint.card is None:
        return "Choose a checkpoint first: it says which organs there are."
    return ""


def why_not_edit(state: CorrectState) -> str:
    """Say in one sentence why tools cannot be used, or nothing."""
    if state.correction is None:
        return "Press 'Correct' first."
    return f"{state.working}; wait a moment." if state.working else ""


def why_not_accept(state: CorrectState, corrections: SetFacts | None) -> str:
    """Say in one sentence why the case cannot be accepted, or nothing."""
    reason = why_not_edit(state)
    if reason:
        return reason
    if corrections is None:
        return "Choose the set that the case goes into."
    return corrections.problem


def why_not_ask(face: FaceState, state: CorrectState) -> str:
    """Say in one sentence why the engine cannot be asked about the strokes, or nothing."""
    reason = why_not_edit(state)
    if reason:
        return reason
    if face.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if state.correction is not None and not state.correction.strokes:
        return "Draw on what is wrong first: choose what your stroke says, and paint."
    return ""


def why_not_teach_here(face: FaceState, state: CorrectState) -> str:
    """Say in one sentence why the network cannot be taught on the strokes, or nothing."""
    reason = why_not_ask(face, state)
    if not reason and state.correction is not None and not state.correction.has_checkpoint:
        return "This correction began without a network, so there is none to teach."
    return reason


def why_not_rank(face: FaceState) -> str:
    """Say in one sentence why scans cannot be ranked, or nothing."""
    if face.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if face.checkpoint is None or face.checkpoint.card is None:
        return "Choose the checkpoint that is to be taught."
    return ""


def edits_line(edits: Sequence[OrganEdits]) -> str:
    """Say how much was edited, e.g. ``edited: liver 1,204 voxels (+1,200 −4)``."""
    parts = []
    for edit in edits:
        count = edit.added + edit.removed
        unit = "voxel" if count == 1 else "voxels"
        parts.append(f"{edit.name} {count:,} {unit} (+{edit.added:,} −{edit.removed:,})")
    return "edited: " + ", ".join(parts) if parts else "nothing is edited yet"
