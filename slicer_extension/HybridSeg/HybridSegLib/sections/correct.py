"""Correcting: the chosen label map is painted in by the Segment Editor, and becomes a case."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.parameters import CORRECTION, LABEL_MAP
from HybridSegLib.sections.shown import set_text, show_line, show_run_button
from HybridSegLib.state import why_not_accept, why_not_correct


class CorrectSection:
    """What is edited, the way to the Segment Editor, the set and the button."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        correcting = controller.correcting
        ui.correctButton.connect("clicked(bool)", lambda *_: correcting.begin())
        ui.emptyButton.connect("clicked(bool)", lambda *_: correcting.begin(is_empty=True))
        ui.countButton.connect("clicked(bool)", lambda *_: correcting.count())
        ui.setButton.connect("clicked(bool)", lambda *_: self.choose_set())
        ui.acceptButton.connect("clicked(bool)", lambda *_: self.press())

    def refresh(self) -> None:
        """Show the state."""
        ui, controller = self._ui, self._controller
        state, now = controller.state, controller.state.correction
        show_line(ui.editsLine, controller.bench.correcting.line(now) if now else "")
        show_line(ui.setLine, set_text(state.corrections))
        ui.setLine.toolTip = str(state.corrections.folder) if state.corrections else ""
        ui.setButton.enabled = state.is_installed
        label_map = controller.parameters.reference(LABEL_MAP)
        reason, refusal = why_not_correct(state), why_not_accept(state)
        ui.correctButton.enabled = ui.emptyButton.enabled = not reason
        goes_on = label_map is not None and label_map is controller.parameters.reference(CORRECTION)
        ui.correctButton.text = "Go on correcting" if goes_on else "Correct"
        ui.correctButton.toolTip = reason or _what_begins(label_map, goes_on)
        ui.emptyButton.visible = label_map is not None and now is None
        ui.emptyButton.toolTip = (
            reason or "Begin with an empty label map and the checkpoint's organs."
        )
        ui.countButton.visible = now is not None
        help_text = "Put the case into the set, whole or not at all."
        show_run_button(ui.acceptButton, "Accept case", help_text, "accept", state, refusal)
        ui.acceptButton.visible = now is not None
        show_line(ui.correctHint, "" if state.phase.is_busy else refusal if now else reason)

    def press(self) -> None:
        """Start, or stop what runs."""
        controller = self._controller
        (controller.cancel if controller.state.phase.is_busy else controller.correcting.accept)()

    def choose_set(self) -> None:
        """Take another correction set."""
        folder = self._dialogs.choose_folder("A folder of accepted corrections", "corrections")
        if folder is not None:
            self._controller.correcting.choose_set(folder)


def _what_begins(label_map: Any, goes_on: bool) -> str:
    if goes_on:
        return "Open the correction in the Segment Editor again."
    if label_map is not None:
        return "Hide the network's result and paint in a copy of it, in the Segment Editor."
    return "Begin with an empty label map: there is no result yet."
