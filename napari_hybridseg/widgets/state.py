"""What the face knows and shows: one evented model that views read and the controller changes."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from psygnal import EventedModel
from pydantic import ConfigDict

from napari_hybridseg.counting import counted
from napari_hybridseg.events import Progress
from napari_hybridseg.inference.estimate import Estimate
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.widgets.facts import CheckpointFacts, Choice, VolumeFacts
from napari_hybridseg.widgets.presets import Quality


class Phase(str, Enum):
    """Where the one job that can run is."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self in (Phase.RUNNING, Phase.CANCELLING)


class Task(str, Enum):
    """What the running, or last, job is for."""

    NONE = "none"
    SEGMENT = "segment"
    SCORE = "score"
    EXPLAIN = "explain"
    CORRECT = "correct"
    TEACH = "teach"


class Score(NamedTuple):
    """A finished comparison.

    ``label_map`` and ``reference`` are the names of the layers that were compared, ``first`` is
    how the label map scored as the network made it, where it was edited since, and ``rival`` how
    another label map compares with the same reference.
    """

    report: ScoreReport
    label_map: str
    reference: str
    scheme: LabelScheme
    first: ScoreReport | None = None
    rival: ScoreReport | None = None
    rival_name: str = ""


class FaceState(EventedModel):
    """The state of one HybridSeg panel; layers are named by their unique ids."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    volumes: tuple[Choice, ...] = ()
    volume: str = ""
    volume_facts: VolumeFacts | None = None

    checkpoints: tuple[Choice, ...] = ()
    checkpoint: CheckpointFacts | None = None

    devices: tuple[Choice, ...] = (Choice("auto", "automatic"), Choice("cpu", "CPU"))
    quality: Quality = Quality.STANDARD
    options: SegmentOptions = SegmentOptions()
    cost: Estimate | None = None

    label_maps: tuple[Choice, ...] = ()
    label_map: str = ""
    reference: str = ""
    rival: str = ""
    score: Score | None = None
    score_is_stale: bool = False
    shows_errors: bool = False

    phase: Phase = Phase.IDLE
    task: Task = Task.NONE
    progress: Progress | None = None
    message: str = ""


def why_not_segment(state: FaceState) -> str:
    """Say in one sentence why a run cannot start, or nothing."""
    if state.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if not state.volume:
        return "Open a volume first: drop a file into the window, or File › Open Sample."
    if state.volume_facts is None or state.volume_facts.problem:
        return state.volume_facts.problem if state.volume_facts else "The volume is being read."
    if state.checkpoint is None:
        return "Choose a checkpoint first."
    if state.checkpoint.card is None:
        return "This checkpoint cannot be used; choose another one."
    wanted, given = state.checkpoint.card.in_channels, state.volume_facts.channels
    if wanted != given:
        return f"This checkpoint needs {counted(wanted, 'channel')}; the volume has {given}."
    return ""


def why_not_score(state: FaceState) -> str:
    """Say in one sentence why scoring cannot start, or nothing."""
    if state.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if not state.label_map:
        return "There is no label map yet: segment a volume, or open one."
    if not state.reference:
        return "Choose the reference that the label map is compared with."
    if state.reference == state.label_map:
        return "The label map cannot be its own reference; choose another layer."
    return ""


def fit_warning(state: FaceState) -> str:
    """Say in one sentence what speaks against this checkpoint for this volume, or nothing."""
    card = state.checkpoint.card if state.checkpoint else None
    modality = state.volume_facts.modality if state.volume_facts else ""
    if card is None or not card.modality or not modality:
        return ""
    if modality.upper() in card.modality.upper():
        return ""
    return f"The checkpoint was made for {card.modality}; this volume is {modality}."
