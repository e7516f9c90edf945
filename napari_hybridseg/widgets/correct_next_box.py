"""Which case next: a folder's scans, the one to correct first in front."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.widgets.correct_state import CorrectState, why_not_rank
from napari_hybridseg.widgets.inputs import Line
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState

_COLUMNS = ("Scan", "Benefit", "Unlike\nthe others")
_MOST_ROWS = 8


class CorrectNextBox(QWidget):
    """A button for the folder and the list; a double click opens a scan."""

    folder_chosen = Signal(object)
    scan_chosen = Signal(object)

    def __init__(
        self,
        face: FaceState,
        state: CorrectState,
        settings: Settings,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._face = face
        self._state = state
        self._settings = settings
        self.line = Line()
        self.line.show_text("Orders a folder of scans by what correcting them would teach.")
        self.button = QPushButton("Rank a folder…")
        self.list = _Scans(0, self)
        self.list.itemDoubleClicked.connect(self._on_double_click)
        self.button.clicked.connect(self._ask)
        top = QHBoxLayout()
        top.addWidget(self.line, 1)
        top.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.list)

    def refresh(self) -> None:
        """Show the state."""
        reason = why_not_rank(self._face)
        self.button.setEnabled(not reason)
        self.button.setToolTip(
            reason or "The folder is only read; entropy and disagreement of the network count."
        )
        self.list.show_scans(self._state)

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of scans", self._settings.folder("rank")
        )
        if chosen:
            self.folder_chosen.emit(Path(chosen))

    def _on_double_click(self, item: QTreeWidgetItem, column: int) -> None:
        self.scan_chosen.emit(Path(item.data(0, Qt.ItemDataRole.UserRole)))


class _Scans(QTreeWidget):
    """The scans with their numbers."""

    def __init__(self, rows: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(_COLUMNS)
        self.setRootIsDecorated(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._shown: object = None
        self.setVisible(rows > 0)

    def show_scans(self, state: CorrectState) -> None:
        """Show the list, if it is another one."""
        if state.ranking is self._shown:
            return
        self._shown = state.ranking
        self.clear()
        for scan in state.ranking:
            numbers = (f"{scan.benefit:.3f}", f"{scan.novelty:.2f}")
            item = QTreeWidgetItem([scan.path.name, *numbers])
            item.setData(0, Qt.ItemDataRole.UserRole, str(scan.path))
            item.setToolTip(0, f"{scan.path}\nDouble click opens it.")
            for column in (1, 2):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
            self.addTopLevelItem(item)
        self.setVisible(bool(state.ranking))
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Give a height that shows some rows."""
        rows = min(self.topLevelItemCount(), _MOST_ROWS)
        row = self.sizeHintForRow(0) if rows else 0
        height = self.header().sizeHint().height() + rows * row + 2 * self.frameWidth()
        return QSize(super().sizeHint().width(), height)

    minimumSizeHint = sizeHint
