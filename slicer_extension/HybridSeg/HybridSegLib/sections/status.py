"""What is going on: one line, how far, and the log under it."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.sections.shown import show_line
from HybridSegLib.state import Phase


class StatusSection:
    """The line that is always there, the progress bar, the log and its report."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        ui.logView.setMaximumBlockCount(500)
        ui.reportButton.connect("clicked(bool)", lambda *_: self.copy_report())
        controller.log.appended.connect(ui.logView.appendPlainText)

    def refresh(self) -> None:
        """Show the state."""
        ui, state = self._ui, self._controller.state
        progress = state.progress
        ui.progressBar.visible = state.phase.is_busy
        if progress is not None and state.phase is Phase.RUNNING:
            ui.progressBar.setRange(0, progress.total)  # a total of 0 is drawn as 'busy'
            ui.progressBar.value = progress.done
            show_line(ui.statusLine, state.progress_line)
            return
        if state.phase is Phase.CANCELLING:
            ui.progressBar.setRange(0, 0)
        show_line(ui.statusLine, state.message, is_error=state.phase is Phase.FAILED)

    def copy_report(self) -> None:
        """Put the report onto the clipboard."""
        self._dialogs.copy(self._controller.report())
        show_line(self._ui.statusLine, "The report is on the clipboard.")
