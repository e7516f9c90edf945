"""Uncertain regions as a table; a click leads there."""

from __future__ import annotations

from typing import Any

import qt

from HybridSegLib.sections.shown import RIGHT, fit_rows
from HybridSegLib.signal import Signal

_COLUMNS = ("Region", "Volume mL", "Mean entropy, nats", "Peak (x, y, z) LPS mm")
_MOST_ROWS = 8


class RegionView:
    """Shows regions in a QTableWidget; ``clicked`` is emitted with their place in the order."""

    def __init__(self, table: Any) -> None:
        self.clicked = Signal()
        self._table = table
        self._shown: tuple[Any, ...] | None = None
        table.setColumnCount(len(_COLUMNS))
        table.setHorizontalHeaderLabels(list(_COLUMNS))
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(len(_COLUMNS) - 1, qt.QHeaderView.Stretch)
        table.connect("cellClicked(int,int)", lambda row, column: self.clicked.emit(row))

    def show_regions(self, regions: tuple[Any, ...]) -> None:
        """Show regions; nothing is shown of none."""
        if regions is self._shown:
            return
        self._shown = regions
        self._table.visible = bool(regions)
        self._table.setRowCount(len(regions))
        for row, region in enumerate(regions):
            peak = ", ".join(f"{value:.1f}" for value in region.peak_mm)
            sizes = (f"{region.size_ml:.3f}", f"{region.mean_entropy:.2f}")
            for column, text in enumerate((str(region.number), *sizes, peak)):
                item = qt.QTableWidgetItem(text)
                if column < len(_COLUMNS) - 1:
                    item.setTextAlignment(int(RIGHT))
                self._table.setItem(row, column, item)
        fit_rows(self._table, _MOST_ROWS)
