"""Scores as a table: an organ a row, the mean always at the end.

Where the label map was edited since the network made it, a column says what that changed; where
two label maps are compared with one reference, the other one's scores stand beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QFontMetrics, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QSizePolicy, QTableView, QWidget

from napari_hybridseg.metrics.scores import OrganScore, ScoreReport
from napari_hybridseg.widgets.state import Score

NOTHING = "–"
_VISIBLE_ROWS = 14


class Column(NamedTuple):
    """A column of the table: its title, what it means, its value for an organ and the mean."""

    title: str
    help_text: str
    value: Callable[[OrganScore], Any]
    mean: Callable[[ScoreReport], Any]
    digits: int = 2
    signed: bool = False


def _no_mean(report: ScoreReport) -> None:
    """Leave the mean's cell empty."""


_BASE = (
    Column("Organ", "", lambda o: o.name, lambda r: "mean"),
    Column(
        "Dice",
        "Overlap with the reference: 0 is none, 1 is perfect.",
        lambda o: o.dice,
        lambda r: r.mean_dice,
        digits=3,
    ),
    Column(
        "HD95\nmm",
        "95th percentile of the distances between the two borders, in millimetres "
        "(convention: {convention}).",
        lambda o: o.hd95_mm,
        lambda r: r.mean_hd95_mm,
    ),
    Column("Volume\nmL", "In the label map.", lambda o: o.volume_ml, _no_mean, digits=1),
    Column(
        "Δ\nmL",
        "Volume in the label map minus volume in the reference.",
        lambda o: o.volume_difference_ml,
        _no_mean,
        digits=1,
        signed=True,
    ),
)
_DICE, _HD95 = 1, 2
_WORST = QColor(224, 49, 49, 90)


def columns_of(score: Score | None) -> tuple[Column, ...]:
    """Give the columns that a score calls for."""
    columns = list(_BASE)
    if score is not None and score.first is not None:
        columns.insert(_DICE + 1, _change_column(score.first))
    if score is not None and score.rival is not None:
        place = columns.index(_BASE[_HD95]) + 1
        columns[place:place] = _rival_columns(score.rival, score.rival_name)
    return tuple(columns)


def _change_column(first: ScoreReport) -> Column:
    before = {organ.label: organ.dice for organ in first.organs}
    return Column(
        "Δ\nDice",
        "Change of Dice since the network made this label map.",
        lambda o: _difference(o.dice, before.get(o.label)),
        lambda r: _difference(r.mean_dice, first.mean_dice),
        digits=3,
        signed=True,
    )


def _rival_columns(rival: ScoreReport, name: str) -> list[Column]:
    other = {organ.label: organ for organ in rival.organs}

    def of(key: str) -> Callable[[OrganScore], Any]:
        return lambda organ: getattr(other.get(organ.label), key, None)

    return [
        Column(
            "other\nDice",
            f"Dice of '{name}' against the same reference.",
            of("dice"),
            lambda r: rival.mean_dice,
            digits=3,
        ),
        Column(
            "other\nHD95 mm",
            f"HD95 in millimetres of '{name}' against the same reference "
            "(convention: {convention}).",
            of("hd95_mm"),
            lambda r: rival.mean_hd95_mm,
        ),
    ]


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


class ScoreModel(QAbstractTableModel):
    """A report's rows; sorts by number and keeps the mean last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._score: Score | None = None
        self._organs: list[OrganScore] = []
        self.columns = columns_of(None)

    @property
    def _report(self) -> ScoreReport | None:
        return self._score.report if self._score else None

    def show_score(self, score: Score | None) -> bool:
        """Show a score, and say whether its organs are the same ones and keep their order."""
        order = {organ.label: place for place, organ in enumerate(self._organs)}
        self.beginResetModel()
        self._score = score
        self.columns = columns_of(score)
        self._organs = list(score.report.organs) if score else []
        is_same = {organ.label for organ in self._organs} == set(order)
        if is_same:
            self._organs.sort(key=lambda organ: order[organ.label])
        self.endResetModel()
        return is_same

    def label_of(self, row: int) -> int | None:
        """Give the label of a row's organ; None for the mean."""
        return self._organs[row].label if 0 <= row < len(self._organs) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Give the number of organs, and one for the mean."""
        return len(self._organs) + 1 if self._report else 0

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Give the number of columns."""
        return len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give what a cell shows."""
        if self._score is None:
            return None
        row, column = index.row(), index.column()
        organ = self._organs[row] if row < len(self._organs) else None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(organ, column)
        if role == Qt.ItemDataRole.SizeHintRole and self.is_remark(row) and column == _DICE:
            return QSize(0, 0)  # it has the next column's room too
        if role == Qt.ItemDataRole.TextAlignmentRole and self.is_remark(row) and column == _DICE:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.TextAlignmentRole and column:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.DecorationRole and column == 0 and organ:
            return QColor(self._score.scheme.organ(organ.label).colour)
        if role == Qt.ItemDataRole.BackgroundRole and organ and self._is_worst(organ, column):
            return _WORST
        if role == Qt.ItemDataRole.FontRole and organ is None:
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tooltip(organ, column)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Give the titles, and what they mean as tooltips."""
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section].title
        if role == Qt.ItemDataRole.ToolTipRole:
            convention = self._report.convention if self._report else NOTHING
            return self.columns[section].help_text.replace("{convention}", convention)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; cells without a number come last either way."""
        value = self.columns[column].value
        known = [organ for organ in self._organs if value(organ) is not None]
        unknown = [organ for organ in self._organs if value(organ) is None]
        self.layoutAboutToBeChanged.emit()
        known.sort(key=value, reverse=order == Qt.SortOrder.DescendingOrder)
        self._organs = [*known, *unknown]
        self.layoutChanged.emit()

    def is_remark(self, row: int) -> bool:
        """Whether a row says in words why it has no Dice and no distance."""
        return row < len(self._organs) and self._organs[row].status != "scored"

    def texts(self) -> list[list[str]]:
        """Give the table as it stands, titles first; distances name their convention."""
        rows = [[self._plain_title(column) for column in self.columns]]
        for organ in (*self._organs, None) if self._report else ():
            rows.append([self._text(organ, column) for column in range(len(self.columns))])
        return rows

    def _plain_title(self, column: Column) -> str:
        title = column.title.replace("\n", " ")
        if self._report is None or "HD95" not in title:
            return title
        return f"{title} ({self._report.convention})"

    def _is_worst(self, organ: OrganScore, number: int) -> bool:
        """Whether this is the lowest Dice or the largest HD95 of several organs."""
        if number not in (_DICE, self.hd95_column):
            return False
        value = self.columns[number].value
        known = [v for other in self._organs if (v := value(other)) is not None]
        worst = min if number == _DICE else max
        return len(set(known)) > 1 and value(organ) == worst(known)

    @property
    def hd95_column(self) -> int:
        """Where HD95 stands."""
        return _HD95 + (self._score is not None and self._score.first is not None)

    def _text(self, organ: OrganScore | None, number: int) -> str:
        assert self._report is not None
        column = self.columns[number]
        value = column.value(organ) if organ else column.mean(self._report)
        if organ and number == _DICE and organ.status != "scored":
            return organ.status
        if value is None:
            return NOTHING if organ or column.mean is not _no_mean else ""
        if isinstance(value, str):
            return value
        # a change that rounds to zero has no sign: -0.0 + 0.0 is 0.0
        rounded = round(value, column.digits) + 0.0
        return f"{rounded:{'+' if column.signed else ''}.{column.digits}f}"

    def _tooltip(self, organ: OrganScore | None, column: int) -> str:
        if organ and organ.status != "scored":
            return _STATUS_HELP[organ.status]
        if organ and column == 0:
            return organ.name
        convention = self._report.convention if self._report else NOTHING
        return self.columns[column].help_text.replace("{convention}", convention)


_STATUS_HELP = {
    "missed": "The reference has this organ, the label map does not; Dice counts as 0.",
    "not in reference": "The label map has this organ, the reference does not; Dice counts as 0.",
    "absent in both": "Neither map has this organ; it is left out of the mean.",
}


class ScoreTable(QTableView):
    """Shows a score; as high as its rows, up to a limit. ``picked`` gives a clicked label."""

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scores = ScoreModel(self)
        self.setModel(self.scores)
        self.setSortingEnabled(True)
        self.setAlternatingRowColors(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        header = self.horizontalHeader()
        header.setStretchLastSection(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.scores.layoutChanged.connect(self._join_cells)
        self.clicked.connect(self._on_clicked)

    def show_score(self, score: Score | None) -> None:
        """Show a score, or nothing."""
        if not self.scores.show_score(score):
            self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self._join_cells()
        self.resizeRowsToContents()
        self._share_width()
        self.updateGeometry()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep all columns in sight."""
        super().resizeEvent(event)
        self._share_width()

    def _on_clicked(self, index: QModelIndex) -> None:
        label = self.scores.label_of(index.row())
        if label is not None:
            self.picked.emit(label)

    def _share_width(self) -> None:
        """Give the numbers what they need and the names the rest."""
        for column in range(1, len(self.scores.columns)):
            self.setColumnWidth(column, self._width_of(column))
        rest = self.viewport().width() - sum(
            map(self.columnWidth, range(1, len(self.scores.columns)))
        )
        self.setColumnWidth(0, max(rest, self.fontMetrics().averageCharWidth() * 14))

    def _width_of(self, column: int) -> int:
        # Qt's own answer takes a title of two lines for one
        font = self.font()
        font.setBold(True)
        metrics = QFontMetrics(font)
        texts = self.scores.columns[column].title.split("\n")
        texts += [row[column] for row in self.scores.texts()[1:] if row[column] not in _STATUS_HELP]
        return max(map(metrics.horizontalAdvance, texts)) + metrics.averageCharWidth() * 2

    def _join_cells(self) -> None:
        self.clearSpans()
        for row in range(self.scores.rowCount()):
            if self.scores.is_remark(row):
                self.setSpan(row, _DICE, 1, self.scores.hd95_column - _DICE + 1)

    def sizeHint(self) -> QSize:
        """Give a height that shows the rows."""
        rows = range(min(self.scores.rowCount(), _VISIBLE_ROWS))
        height = sum(self.rowHeight(row) for row in rows)
        height += self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        if self.horizontalScrollBar().maximum():
            height += self.horizontalScrollBar().sizeHint().height()
        return QSize(super().sizeHint().width(), height)

    minimumSizeHint = sizeHint
