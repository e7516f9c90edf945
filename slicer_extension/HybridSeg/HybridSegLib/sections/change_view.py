"""What a fine-tune changed: every organ before and after, set by set."""

from __future__ import annotations

from typing import Any

import qt

from HybridSegLib.sections.shown import RIGHT, fit_rows

_COLUMNS = ("Organ", "Dice\nbefore", "Dice\nafter", "HD95 mm\nbefore", "HD95 mm\nafter")
_MOST_ROWS = 24
_COLOURS = {1: (47, 158, 68, 90), -1: (224, 49, 49, 90)}


class ChangeView:
    """Shows rows of organs, under a heading for each set that was scored, in a QTableWidget."""

    def __init__(self, table: Any) -> None:
        self._table = table
        table.setColumnCount(len(_COLUMNS))
        table.setHorizontalHeaderLabels(list(_COLUMNS))
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)

    def show_rows(self, rows: list[Any]) -> None:
        """Show rows; nothing is shown of none."""
        table = self._table
        table.visible = bool(rows)
        table.clearSpans()
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column in range(len(_COLUMNS)):
                text = row.texts[column] if column < len(row.texts) else ""
                table.setItem(number, column, self._item(row, column, text))
            if len(row.texts) == 1:
                table.setSpan(number, 0, 1, len(_COLUMNS))
        fit_rows(table, _MOST_ROWS)

    @staticmethod
    def _item(row: Any, column: int, text: str) -> Any:
        item = qt.QTableWidgetItem(text)
        item.setToolTip(row.help_text)
        font = qt.QFont()
        font.setBold(row.is_bold)
        item.setFont(font)
        if column:
            item.setTextAlignment(int(RIGHT))
        if column == 2 and row.change:
            item.setBackground(qt.QBrush(qt.QColor(*_COLOURS[row.change])))
        return item
