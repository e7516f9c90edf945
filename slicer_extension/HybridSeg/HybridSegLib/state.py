"""What the panel knows and shows: one model that sections read and the controller changes."""

from __future__ import annotations

from enum import Enum
from typing import Any

from HybridSegLib.signal import Signal


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


class PanelState:
    """The state of the panel; what belongs to the scene is in :class:`Parameters`.

    ``changed`` is emitted once for every call of :meth:`update`. Values whose types come from
    the engine's package (facts, options, progress, score) are None until that is installed.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self.is_installed = False
        self.has_volume = False
        self.has_frames = False
        self.volume_facts: Any = None
        self.checkpoints: tuple[Any, ...] = ()
        self.checkpoint: Any = None
        self.devices: tuple[tuple[str, str], ...] = (("auto", "automatic"), ("cpu", "CPU"))
        self.qualities: dict[str, str] = {}
        self.quality = ""
        self.options: Any = None
        self.has_label_map = False
        self.has_reference = False
        self.is_own_reference = False
        self.score: Any = None
        self.score_is_stale = False
        self.phase = Phase.IDLE
        self.task = ""
        self.progress: Any = None
        self.progress_line = ""
        self.message = ""

    def update(self, **changes: Any) -> None:
        """Change several values at once.

        Raises
        ------
        AttributeError
            If there is no such value.
        """
        for name, value in changes.items():
            getattr(self, name)
            setattr(self, name, value)
        self.changed.emit()


NOT_INSTALLED = "Install the engine first: the button is at the top of this panel."
BUSY = "Another job is running; wait for it or cancel it."


def why_not_segment(state: PanelState) -> str:
    """Say in one sentence why a run cannot start, or nothing."""
    if not state.is_installed:
        return NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if not state.has_volume:
        return "Load a volume first: drop a file into the window, or take one from Sample Data."
    if state.volume_facts is None or state.volume_facts.problem:
        return state.volume_facts.problem if state.volume_facts else "The volume is being read."
    if state.checkpoint is None:
        return "Choose a checkpoint first."
    if state.checkpoint.card is None:
        return "This checkpoint cannot be used; choose another one."
    wanted, given = state.checkpoint.card.in_channels, state.volume_facts.channels
    if wanted != given:
        return f"This checkpoint needs {wanted} channel(s); the volume has {given}."
    return ""


def why_not_score(state: PanelState) -> str:
    """Say in one sentence why scoring cannot start, or nothing."""
    if not state.is_installed:
        return NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if not state.has_label_map:
        return "There is no label map yet: segment a volume, or open one."
    if not state.has_reference:
        return "Choose the reference that the label map is compared with."
    if state.is_own_reference:
        return "The label map cannot be its own reference; choose another node."
    return ""


def fit_warning(state: PanelState) -> str:
    """Say in one sentence what speaks against this checkpoint for this volume, or nothing."""
    card = state.checkpoint.card if state.checkpoint else None
    modality = state.volume_facts.modality if state.volume_facts else ""
    if card is None or not card.modality or not modality:
        return ""
    if modality.upper() in card.modality.upper():
        return ""
    return f"The checkpoint was made for {card.modality}; this volume is {modality}."
