"""What a fine-tune changed: every organ before and after, on the corrections and the guard set."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_hybridseg.finetune import FineTuneReport, ScoreTable

_COLUMNS = ("Organ", "Dice\nbefore", "Dice\nafter", "HD95 mm\nbefore", "HD95 mm\nafter")
_WORSE, _BETTER = QColor(224, 49, 49, 90), QColor(47, 158, 68, 90)
_NOTICEABLE = 0.005
_MEASURED = {
    "cross-validated": "Corrections, cross-validated",
    "training cases": "Measured on the training cases",
    "guard": "Guard set",
}


class ChangeTable(QTableWidget):
    """Rows of organs under a heading for each set that was scored."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setShowGrid(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    def show_report(self, report: FineTuneReport | None) -> None:
        """Show a report, or nothing."""
        self.setRowCount(0)
        self.clearSpans()
        for table in (report.cases, report.guard) if report is not None else ():
            if table is not None:
                self._add(table)
        self.resizeRowsToContents()
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Give a height that shows every row."""
        height = sum(self.rowHeight(row) for row in range(self.rowCount()))
        height += self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        return QSize(super().sizeHint().width(), height)

    minimumSizeHint = sizeHint

    def _add(self, table: ScoreTable) -> None:
        count = len(table.cases)
        heading = f"{_MEASURED[table.measured]} ({count} case{'s' if count != 1 else ''})"
        heading += f" · HD95: {table.hd95_convention}"
        row = self._row((heading,), is_bold=True)
        self.item(row, 0).setToolTip(f"{table.data}\n{heading}")
        self.setSpan(row, 0, 1, len(_COLUMNS))
        for organ in table.organs:
            values = (organ.dice_before, organ.dice_after)
            distances = (organ.hd95_before_mm, organ.hd95_after_mm)
            row = self._row((organ.name, *map(_dice, values), *map(_mm, distances)))
            self._colour(row, *values)
        values = (table.dice_before, table.dice_after)
        distances = (table.hd95_before_mm, table.hd95_after_mm)
        row = self._row(("mean", *map(_dice, values), *map(_mm, distances)), is_bold=True)
        self._colour(row, *values)

    def _row(self, texts: tuple[str, ...], *, is_bold: bool = False) -> int:
        row = self.rowCount()
        self.insertRow(row)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            font = QFont()
            font.setBold(is_bold)
            item.setFont(font)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        return row

    def _colour(self, row: int, before: float | None, after: float | None) -> None:
        if before is None or after is None or abs(after - before) < _NOTICEABLE:
            return
        self.item(row, 2).setBackground(_BETTER if after > before else _WORSE)


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _mm(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
