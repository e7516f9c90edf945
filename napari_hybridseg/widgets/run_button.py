"""One button that starts a task and, while it runs, stops it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_hybridseg.widgets.state import FaceState, Phase, Task


class RunButton(QPushButton):
    """Starts a task, or cancels it; when it can do neither, its tooltip says why."""

    started = Signal()
    stopped = Signal()

    def __init__(
        self, title: str, help_text: str, task: Task, parent: QWidget | None = None
    ) -> None:
        super().__init__(title, parent)
        self._title = title
        self._help = help_text
        self._task = task
        self._stops = False
        self.clicked.connect(self._on_clicked)

    def show_state(self, state: FaceState, reason: str) -> None:
        """Become what the state calls for; ``reason`` says why the task cannot start."""
        is_mine = state.phase.is_busy and state.task is self._task
        is_cancelling = is_mine and state.phase is Phase.CANCELLING
        self._stops = is_mine
        self.setText("Cancelling…" if is_cancelling else "Cancel" if is_mine else self._title)
        self.setEnabled((is_mine and not is_cancelling) or not reason)
        self.setToolTip("Stop the job." if is_mine else reason or self._help)
        self.setProperty("hybridseg", "stop" if is_mine else "primary")
        self.style().unpolish(self)
        self.style().polish(self)

    def say(self, help_text: str) -> None:
        """Take another tooltip for when the task can start; shown with the next state."""
        self._help = help_text

    def _on_clicked(self) -> None:
        (self.stopped if self._stops else self.started).emit()
