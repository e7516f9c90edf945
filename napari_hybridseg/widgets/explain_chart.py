"""Charts and tables of an explanation, in a dock under the picture."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QLabel,
    QStackedLayout,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_hybridseg.explain import Bars, Explanation, Matrix, RegionTable
from napari_hybridseg.volume import Volume

NOTHING = "What has numbers instead of a place is shown here: bars, matrices, uncertain regions."
_NEEDS_MATPLOTLIB = (
    "Charts need matplotlib; install it with: pip install 'napari-hybridseg[explain]'."
)
_DPI, _LEAST_WIDTH = 90, 900
_REGION_COLUMNS = ("Region", "Volume mL", "Mean entropy, nats", "Peak (x, y, z) LPS mm")


class ExplainChart(QWidget):
    """Shows what an explanation has that is no layer.

    ``token_picked`` gives the token whose bar, row or column was clicked, and the explanation,
    ``region_picked`` the place of an uncertain region in their order.
    """

    token_picked = Signal(int, object)
    region_picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel(NOTHING)
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.cellClicked.connect(lambda row, column: self.region_picked.emit(row))
        self.canvas: Any = None
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.text)
        self._stack.addWidget(self.table)
        self.setMinimumHeight(self.fontMetrics().lineSpacing() * 14)

    def show_explanation(self, explanation: Explanation | None, volume: Volume | None) -> bool:
        """Show an explanation's numbers; False if it has none to show here.

        The map of a token leaves the chart from which it was clicked, for the next click.
        """
        is_token = explanation is not None and explanation.view.name == "token-map"
        if is_token and self.canvas is not None:
            return False
        self._drop_canvas()
        for product in explanation.products if explanation is not None else ():
            if isinstance(product, RegionTable):
                self._show_regions(product)
                return True
            if isinstance(product, (Bars, Matrix)) and explanation is not None:
                assert volume is not None
                self._show_figure(explanation, product, volume)
                return True
        self.text.setText(NOTHING)
        self._stack.setCurrentWidget(self.text)
        return False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return self._stack.currentWidget() is self.text

    def show_region(self, number: int) -> None:
        """Show which uncertain region the view went to, counted from 0."""
        if 0 <= number < self.table.rowCount():
            self.table.selectRow(number)

    def _show_figure(
        self, explanation: Explanation, product: Bars | Matrix, volume: Volume
    ) -> None:
        from napari_hybridseg.explain.figures import can_draw, draw_panel, panel_figure

        if not can_draw():
            self.text.setText(_NEEDS_MATPLOTLIB)
            self._stack.setCurrentWidget(self.text)
            return
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

        room = (max(self.width(), _LEAST_WIDTH), max(self.height(), self.minimumHeight()))
        size = (room[0] / _DPI, room[1] / _DPI)
        figure = panel_figure(volume, explanation, product, size_inches=size)
        figure.set_dpi(_DPI)
        self.canvas = FigureCanvasQTAgg(figure)
        self.canvas.mpl_connect(
            "button_press_event", lambda event: self._on_click(event, product, explanation)
        )
        # margins are in inches: in a dock of another height they are other parts of it
        self.canvas.mpl_connect(
            "resize_event",
            lambda _: draw_panel(figure, volume, explanation, product, keeps_size=True),
        )
        self._stack.addWidget(self.canvas)
        self._stack.setCurrentWidget(self.canvas)

    def _show_regions(self, table: RegionTable) -> None:
        self.table.clear()
        self.table.setColumnCount(len(_REGION_COLUMNS))
        self.table.setRowCount(len(table.regions))
        self.table.setHorizontalHeaderLabels(_REGION_COLUMNS)
        for row, region in enumerate(table.regions):
            peak = ", ".join(f"{value:.1f}" for value in region.peak_mm)
            cells = (
                str(region.number),
                f"{region.size_ml:.3f}",
                f"{region.mean_entropy:.2f}",
                peak,
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column < len(cells) - 1:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(row, column, item)
        self.table.resizeColumnsToContents()
        self._stack.setCurrentWidget(self.table)

    def _on_click(self, event: Any, product: Bars | Matrix, explanation: Explanation) -> None:
        if event.inaxes is None or event.xdata is None:
            return
        token = token_at(product, float(event.xdata), float(event.ydata))
        if token is not None:
            self.token_picked.emit(token, explanation)

    def _drop_canvas(self) -> None:
        if self.canvas is not None:
            self._stack.removeWidget(self.canvas)
            self.canvas.deleteLater()
            self.canvas = None


def token_at(product: Bars | Matrix, x: float, y: float) -> int | None:
    """Give the token that a place in a chart stands for; None where it stands for none."""
    if isinstance(product, Bars):
        titles, place = product.name_title, x
        count = len(product.names)
    elif "token" in product.row_title.lower():
        titles, place, count = product.row_title, y, len(product.rows)
    else:
        titles, place, count = product.column_title, x, len(product.columns)
    number = round(place)
    return number if "token" in titles.lower() and 0 <= number < count else None
