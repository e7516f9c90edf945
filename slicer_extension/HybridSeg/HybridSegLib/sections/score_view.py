"""Scores as a table: an organ a row, the mean always at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import qt

from HybridSegLib.sections.shown import RIGHT, fit_rows
from HybridSegLib.signal import Signal

NOTHING = "–"
_MOST_ROWS = 14


class Column(NamedTuple):
    """A column of the table: its title, what it means, its value for an organ and the mean."""

    title: str
    help_text: str
    value: Callable[[Any], Any]
    mean: Callable[[Any], Any]
    digits: int = 2
    signed: bool = False


def _no_mean(report: Any) -> None:
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
_DICE = 1


def columns_of(score: Any) -> tuple[Column, ...]:
    """Give the columns that a score calls for."""
    if score is None or score.rival is None:
        return _BASE
    return (*_BASE, *_rival_columns(score.rival, score.rival_name))


def _rival_columns(rival: Any, name: str) -> tuple[Column, ...]:
    other = {organ.label: organ for organ in rival.organs}

    def of(key: str) -> Callable[[Any], Any]:
        return lambda organ: getattr(other.get(organ.label), key, None)

    return (
        Column(
            "other\nDice",
            f"Dice of '{name}' against the same reference.",
            of("dice"),
            lambda r: rival.mean_dice,
            digits=3,
        ),
        Column(
            "other\nHD95",
            f"HD95 in millimetres of '{name}' against the same reference "
            "(convention: {convention}).",
            of("hd95_mm"),
            lambda r: rival.mean_hd95_mm,
        ),
    )


STATUS_HELP = {
    "missed": "The reference has this organ, the label map does not; Dice counts as 0.",
    "not in reference": "The label map has this organ, the reference does not; Dice counts as 0.",
    "absent in both": "Neither map has this organ; it is left out of the mean.",
}
_TO_ORGAN = "Click to see the organ."
_TO_ERROR = "Click to go there; click again for the largest error."


class ScoreView:
    """Shows a score in a QTableWidget; sorts by number and keeps the mean last.

    ``organ_clicked`` is emitted with an organ's label.
    """

    def __init__(self, table: Any) -> None:
        self.organ_clicked = Signal()
        self._table = table
        self._score: Any = None
        self._organs: list[Any] = []
        self._sorted: tuple[int, bool] | None = None
        self.columns: tuple[Column, ...] = _BASE
        self._show_titles()
        table.verticalHeader().hide()
        table.horizontalHeader().connect("sectionClicked(int)", self.sort)
        table.connect("cellClicked(int,int)", self._on_clicked)

    def show_score(self, score: Any) -> None:
        """Show a score, or nothing, in its own order."""
        self._score = score
        self._organs = list(score.report.organs) if score else []
        self._sorted = None
        self.columns = columns_of(score)
        self._show_titles()
        self._fill()

    def sort(self, column: int) -> None:
        """Sort by a column, the other way round the second time; what is no number comes last."""
        is_down = self._sorted == (column, False)
        self._sorted = column, is_down
        value = self.columns[column].value
        known = [organ for organ in self._organs if value(organ) is not None]
        unknown = [organ for organ in self._organs if value(organ) is None]
        self._organs = [*sorted(known, key=value, reverse=is_down), *unknown]
        self._fill()

    def texts(self) -> list[list[str]]:
        """Give the table as it stands, titles first; distances name their convention."""
        rows = [[self._plain_title(column) for column in self.columns]]
        for organ in (*self._organs, None) if self._score else ():
            rows.append([self._text(organ, column) for column in range(len(self.columns))])
        return rows

    def _plain_title(self, column: Column) -> str:
        title = column.title.replace("\n", " ")
        if self._score is None or "HD95" not in title:
            return title
        return f"{title} ({self._score.report.convention})"

    def _show_titles(self) -> None:
        table = self._table
        table.setColumnCount(len(self.columns))
        table.setHorizontalHeaderLabels([column.title for column in self.columns])
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for number, column in enumerate(self.columns):
            convention = self._score.report.convention if self._score else NOTHING
            help_text = column.help_text.replace("{convention}", convention)
            table.horizontalHeaderItem(number).setToolTip(help_text)

    def _fill(self) -> None:
        rows = self.texts()[1:]
        self._table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            organ = self._organs[row] if row < len(self._organs) else None
            for column, text in enumerate(texts):
                self._table.setItem(row, column, self._item(organ, column, text))
        fit_rows(self._table, _MOST_ROWS)

    def _item(self, organ: Any, column: int, text: str) -> Any:
        item = qt.QTableWidgetItem(text)
        item.setToolTip(self._tooltip(organ, column))
        if column:
            item.setTextAlignment(int(RIGHT))
        elif organ is not None:
            colour = self._score.scheme.organ(organ.label).colour
            item.setData(qt.Qt.DecorationRole, qt.QColor(colour))
        if organ is None:
            font = qt.QFont()
            font.setBold(True)
            item.setFont(font)
        return item

    def _text(self, organ: Any, number: int) -> str:
        column = self.columns[number]
        value = column.value(organ) if organ else column.mean(self._score.report)
        if organ and number == _DICE and organ.status != "scored":
            return str(organ.status)
        if value is None:
            return NOTHING if organ or column.mean is not _no_mean else ""
        if isinstance(value, str):
            return value
        rounded = round(value, column.digits) + 0.0  # what rounds to -0.0 is no loss
        return f"{rounded:{'+' if column.signed and rounded else ''}.{column.digits}f}"

    def _tooltip(self, organ: Any, number: int) -> str:
        column = self.columns[number]
        if organ is None:
            return column.help_text.replace("{convention}", self._score.report.convention)
        if organ.status != "scored":
            return f"{STATUS_HELP[organ.status]} {_TO_ORGAN}"
        about = column.help_text.replace("{convention}", self._score.report.convention)
        return f"{about} {_TO_ERROR}".strip()

    def _on_clicked(self, row: int, column: int) -> None:
        if row < len(self._organs):
            self.organ_clicked.emit(self._organs[row].label)
