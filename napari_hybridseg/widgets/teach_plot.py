"""Loss and Dice of a running fine-tune, drawn as they come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtpy.QtCore import QPointF, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hybridseg.older_python import zip
from napari_hybridseg.widgets.inputs import Line
from napari_hybridseg.widgets.teach_state import CurvePoint

Curves = Mapping[str, Sequence[CurvePoint]]

_COLOURS = ("#4dabf7", "#69db7c", "#ffa94d")
_LOSS = "loss"
_HEIGHT_LINES = 13
_TICKS = 4
_MS_BETWEEN_DRAWINGS = 200


class TeachPlot(QWidget):
    """A chart: the loss falls on the left axis, Dice rises on the right one.

    A training measures faster than anybody reads, so what is shown is renewed a few times a second.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = Line("quiet")
        self.chart = Chart()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.chart)
        self._curves: Curves = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MS_BETWEEN_DRAWINGS)
        self._timer.timeout.connect(self._show)
        self.setVisible(False)

    def show_curves(self, curves: Curves) -> None:
        """Draw what was measured, soon; nothing hides the plot."""
        self._curves = curves
        if not curves or self.isHidden():
            self._timer.stop()
            self._show()
        elif not self._timer.isActive():
            self._timer.start()

    def _show(self) -> None:
        curves = self._curves
        self.setVisible(bool(curves))
        self.chart.show_curves(curves)
        if curves:
            last = [f"{name} {points[-1].value:.3f}" for name, points in curves.items()]
            step = max(points[-1].step for points in curves.values())
            self.line.show_text(f"Step {step}: " + ", ".join(last))


class Chart(QWidget):
    """Lines over steps, with the loss's axis on the left and Dice's, 0 to 1, on the right.

    Qt draws it in about a millisecond, where matplotlib would hold up the viewer for a hundred.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curves: Curves = {}
        self.setMinimumHeight(self.fontMetrics().lineSpacing() * _HEIGHT_LINES)

    def show_curves(self, curves: Curves) -> None:
        """Draw these from now on."""
        self._curves = curves
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        if not self._curves:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        painter.setFont(font)
        row, letter = painter.fontMetrics().lineSpacing(), painter.fontMetrics().averageCharWidth()
        frame = QRectF(self.rect()).adjusted(8 * letter, 2 * row, -6 * letter, -2 * row)
        last_step = max(points[-1].step for points in self._curves.values())
        highest = highest_of(self._curves.get(_LOSS, ()))
        self._draw_axes(painter, frame, last_step, highest)
        self._draw_legend(painter, frame, row)
        for colour, (name, points) in zip(_COLOURS, self._curves.items(), strict=False):
            line = polyline(points, frame, last_step, highest if name == _LOSS else 1.0)
            painter.setPen(QPen(QColor(colour), 1.6))
            painter.drawPolyline(line)
            if line.size() == 1:
                painter.drawEllipse(line[0], 2, 2)
        painter.end()

    def _draw_axes(self, painter: QPainter, frame: QRectF, last_step: int, highest: float) -> None:
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(50)
        side = Qt.AlignmentFlag.AlignVCenter
        row = painter.fontMetrics().lineSpacing()
        for tick in range(_TICKS + 1):
            part = tick / _TICKS
            y = frame.bottom() - part * frame.height()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(ink)
            left = QRectF(0, y - row / 2, frame.left() - row / 3, row)
            painter.drawText(left, side | Qt.AlignmentFlag.AlignRight, f"{part * highest:.2g}")
            right = QRectF(frame.right() + row / 3, y - row / 2, self.width(), row)
            painter.drawText(right, side | Qt.AlignmentFlag.AlignLeft, f"{part:.2f}")
            x = frame.left() + part * frame.width()
            under = QRectF(x - 50, frame.bottom() + row / 4, 100, row)
            painter.drawText(under, Qt.AlignmentFlag.AlignHCenter, f"{part * last_step:.0f}")

    def _draw_legend(self, painter: QPainter, frame: QRectF, row: int) -> None:
        x = frame.left()
        for colour, name in zip(_COLOURS, self._curves, strict=False):
            text = f"{name} ({'left' if name == _LOSS else 'right'})"
            painter.setPen(QPen(QColor(colour), 3))
            painter.drawLine(QPointF(x, row * 0.8), QPointF(x + row, row * 0.8))
            painter.setPen(self.palette().windowText().color())
            painter.drawText(QPointF(x + row * 1.4, row * 1.1), text)
            x += row * 3 + painter.fontMetrics().horizontalAdvance(text)


def highest_of(points: Sequence[CurvePoint]) -> float:
    """Give a round number that no value exceeds: 1, 2 or 5 times a power of ten."""
    most = max((p.value for p in points if math.isfinite(p.value)), default=0.0)
    if most <= 0:
        return 1.0
    power = 10.0 ** math.ceil(math.log10(most))
    return next(part * power for part in (0.2, 0.5, 1.0) if part * power >= most)


def polyline(
    points: Sequence[CurvePoint], frame: QRectF, last_step: int, highest: float
) -> QPolygonF:
    """Bring points into a frame, no more of them than it has columns; the last one is kept."""
    every = max(len(points) // max(int(frame.width()), 1), 1)
    kept = (*points[:-1:every], points[-1])
    shown = [point for point in kept if math.isfinite(point.value)]
    across, up = frame.width() / max(last_step, 1), frame.height() / highest
    return QPolygonF(
        [
            QPointF(frame.left() + point.step * across, frame.bottom() - point.value * up)
            for point in shown
        ]
    )
