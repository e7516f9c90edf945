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
        self.obstacle = ""
        self.has_volume = False
        self.has_frames = False
        self.volume_facts: Any = None
        self.checkpoints: tuple[Any, ...] = ()
        self.checkpoint: Any = None
        self.devices: tuple[tuple[str, str], ...] = (("auto", "automatic"), ("cpu", "CPU"))
        self.qualities: dict[str, str] = {}
        self.quality = ""
        self.options: Any = None
        self.cost: Any = None
        self.has_label_map = False
        self.has_reference = False
        self.is_own_reference = False
        self.score: Any = None
        self.score_is_stale = False
        self.views: tuple[Any, ...] = ()
        self.explain_options: Any = None
        self.is_picking = False
        self.explanation: Any = None
        self.is_saving = False
        self.regions: tuple[Any, ...] = ()
        self.correction: Any = None
        self.corrections: Any = None
        self.teach_options: Any = None
        self.curves: dict[str, Any] = {}
        self.is_paused = False
        self.is_finishing = False
        self.tuned: Any = None
        self.phase = Phase.IDLE
        self.task = ""
        self.can_keep = False
        self.progress: Any = None
        self.progress_line = ""
        self.message = ""

    @property
    def view(self) -> Any:
        """The chosen view of the network, or None."""
        name = self.explain_options.view if self.explain_options else ""
        return next((view for view in self.views if view.name == name), None)

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
NO_VOLUME = "Load a volume first: drop a file into the window, or take one from Sample Data."
BUSY = "Another job is running; wait for it or cancel it."


def why_not_segment(state: PanelState) -> str:
    """Say in one sentence why a run cannot start, or nothing."""
    if not state.is_installed:
        return state.obstacle or NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if not state.has_volume:
        return NO_VOLUME
    if state.volume_facts is None or state.volume_facts.problem:
        return state.volume_facts.problem if state.volume_facts else "The volume is being read."
    if state.checkpoint is None:
        return "Choose a checkpoint first."
    if state.checkpoint.card is None:
        return "This checkpoint cannot be used; choose another one."
    wanted, given = state.checkpoint.card.in_channels, state.volume_facts.channels
    if wanted != given:
        channels = "channel" if wanted == 1 else "channels"
        return f"This checkpoint needs {wanted} {channels}; the volume has {given}."
    return ""


def why_not_score(state: PanelState) -> str:
    """Say in one sentence why scoring cannot start, or nothing."""
    if not state.is_installed:
        return state.obstacle or NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if not state.has_label_map:
        return "There is no label map yet: segment a volume, or open one."
    if not state.has_reference:
        return "Choose the reference that the label map is compared with."
    if state.is_own_reference:
        return "The label map cannot be its own reference; choose another node."
    return ""


def why_not_explain(state: PanelState) -> str:
    """Say in one sentence why there is nothing to show yet, or nothing."""
    if not state.is_installed:
        return state.obstacle or NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if state.volume_facts is None or state.volume_facts.problem:
        return "Open a volume first."
    if state.view is None:
        return "Choose a checkpoint first; what it can show depends on its network."
    if "point" in state.view.needs and state.explain_options.point is None:
        return "Click a voxel first: press 'Click a voxel', then click into the picture."
    if "organ" in state.view.needs and state.explain_options.organ is None:
        return "Choose the organ."
    return ""


def why_not_correct(state: PanelState) -> str:
    """Say in one sentence why a correction cannot be begun, or nothing."""
    if not state.is_installed:
        return state.obstacle or NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if not state.has_volume:
        return NO_VOLUME
    if state.volume_facts is None or state.volume_facts.problem:
        return state.volume_facts.problem if state.volume_facts else "The volume is being read."
    if state.checkpoint is None or state.checkpoint.card is None:
        return "Choose a checkpoint first: it says which organs there are."
    return ""


def why_not_accept(state: PanelState) -> str:
    """Say in one sentence why the case cannot be accepted, or nothing."""
    if state.phase.is_busy:
        return BUSY
    if state.correction is None:
        return "Press 'Correct' first."
    if state.corrections is None:
        return "Choose the set that the case goes into."
    return str(state.corrections.problem)


def why_not_teach(state: PanelState) -> str:
    """Say in one sentence why a fine-tune cannot start, or nothing."""
    if not state.is_installed:
        return state.obstacle or NOT_INSTALLED
    if state.phase.is_busy:
        return BUSY
    if state.checkpoint is None or state.checkpoint.card is None:
        return "Choose the checkpoint that is to learn."
    if state.corrections is None:
        return "Choose a correction set, or accept a first case."
    if state.corrections.problem:
        return str(state.corrections.problem)
    if not state.corrections.cases:
        return "The correction set is empty; accept a case first."
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
