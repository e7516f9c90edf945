"""What is going on: one line, how far, and the log under it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.widgets.inputs import Fold, Line
from napari_hybridseg.widgets.report import Log
from napari_hybridseg.widgets.state import FaceState, Phase
from napari_hybridseg.widgets.wording import progress_line

_LOG_LINES_SHOWN = 8


class StatusSection(QWidget):
    """The line that is always there, the progress bar, the log and its report."""

    def __init__(
        self,
        state: FaceState,
        log: Log,
        make_report: Callable[[], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._state = state
        self._make_report = make_report
        self.line = Line("plain")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.fold = Fold("Log")
        self.log_view = QPlainTextEdit(log.text)
        self.log_view.setReadOnly(True)
        self.log_view.setMaximumBlockCount(500)
        self.log_view.setFixedHeight(self.fontMetrics().lineSpacing() * _LOG_LINES_SHOWN)
        self.report_button = QPushButton("Copy report")
        self.report_button.setToolTip(
            "Copy the log, the versions and the options, to send them to someone who can help; "
            "no image data is in it."
        )
        self._lay_out()
        self.report_button.clicked.connect(self.copy_report)
        log.appended.connect(self._append)
        for signal in (state.events.message, state.events.phase, state.events.progress):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state."""
        state = self._state
        progress = state.progress
        self.bar.setVisible(state.phase.is_busy)
        if progress is not None and state.phase is Phase.RUNNING:
            self.bar.setRange(0, progress.total)  # a total of 0 is drawn as 'busy'
            self.bar.setValue(progress.done)
            self.line.show_text(progress_line(progress), "plain")
            return
        if state.phase is Phase.CANCELLING:
            self.bar.setRange(0, 0)
        self.line.show_text(state.message, "error" if state.phase is Phase.FAILED else "plain")

    def _append(self, line: str) -> None:
        self.log_view.appendPlainText(line)

    def copy_report(self) -> None:
        """Put the report onto the clipboard."""
        QApplication.clipboard().setText(self._make_report())
        self.line.show_text("The report is on the clipboard.", "plain")

    def _lay_out(self) -> None:
        bottom = QHBoxLayout()
        bottom.addStretch(1)
        bottom.addWidget(self.report_button)
        self.fold.body.addWidget(self.log_view)
        self.fold.body.addLayout(bottom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setContentsMargins(9, 0, 9, 0)
        for widget in (self.line, self.bar, self.fold):
            layout.addWidget(widget)
