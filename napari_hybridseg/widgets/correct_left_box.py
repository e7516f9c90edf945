"""What an earlier session left behind, offered back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hybridseg.corrections.recovery import Recoverable
from napari_hybridseg.widgets.inputs import Line

_MOST = 5


class CorrectLeftBox(QWidget):
    """A line with [Restore] and [Discard] for every correction that was left."""

    restore_wanted = Signal(object)
    discard_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[QWidget] = []
        self._shown: Sequence[Recoverable] | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def show_left(self, left: Sequence[Recoverable], reason: str) -> None:
        """Show what is left; ``reason`` says why nothing can be restored now."""
        self.setVisible(bool(left))
        if left is not self._shown:
            self._shown = left
            for row in self.rows:
                self._layout.removeWidget(row)
                row.deleteLater()
            self.rows = [self._row(entry) for entry in left[:_MOST]]
            if len(left) > _MOST:
                more = Line()
                more.show_text(f"and {len(left) - _MOST} older ones")
                self.rows.append(more)
            for row in self.rows:
                self._layout.addWidget(row)
        for row in self.rows:
            row.setEnabled(not reason)
            row.setToolTip(reason)

    def _row(self, entry: Recoverable) -> QWidget:
        row = QWidget()
        line = Line("warning")
        when = time.strftime("%d %b %H:%M", time.localtime(entry.saved))
        line.show_text(f"The correction of {entry.head.title!r} was not accepted ({when}).")
        line.setToolTip(entry.head.image_path)
        restore, discard = QPushButton("Restore"), QPushButton("Discard")
        restore.setToolTip("Bring it back as it was last saved; its scan is opened where it can.")
        discard.setToolTip("Throw it away for good.")
        restore.clicked.connect(lambda: self.restore_wanted.emit(entry))
        discard.clicked.connect(lambda: self.discard_wanted.emit(entry))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line, 1)
        layout.addWidget(restore)
        layout.addWidget(discard)
        return row
