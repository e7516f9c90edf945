"""The HybridSeg panel: its sections put together, in the order of the work."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.sections.checkpoint import CheckpointSection
from HybridSegLib.sections.correct import CorrectSection
from HybridSegLib.sections.engine import EngineSection
from HybridSegLib.sections.explain import ExplainSection
from HybridSegLib.sections.review import ReviewSection
from HybridSegLib.sections.segment import SegmentSection
from HybridSegLib.sections.status import StatusSection
from HybridSegLib.sections.teach import TeachSection
from HybridSegLib.sections.volume import VolumeSection


class Panel:
    """Shows the controller's state in the widgets of the .ui file, and passes on what is wanted.

    Parameters
    ----------
    ui : object
        The widgets, by their names.
    controller : Controller
    dialogs : Dialogs or None
    """

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs | None = None) -> None:
        dialogs = dialogs or Dialogs()
        self.engine = EngineSection(ui, controller)
        self.volume = VolumeSection(ui, controller)
        self.checkpoint = CheckpointSection(ui, controller, dialogs)
        self.segment = SegmentSection(ui, controller)
        self.review = ReviewSection(ui, controller, dialogs)
        self.explain = ExplainSection(ui, controller, dialogs)
        self.correct = CorrectSection(ui, controller, dialogs)
        self.teach = TeachSection(ui, controller, dialogs)
        self.status = StatusSection(ui, controller, dialogs)
        self.sections: tuple[Any, ...] = (
            self.engine,
            self.volume,
            self.checkpoint,
            self.segment,
            self.review,
            self.explain,
            self.correct,
            self.teach,
            self.status,
        )
        controller.state.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state."""
        for section in self.sections:
            section.refresh()
