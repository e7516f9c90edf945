"""The tools as buttons, with their parameters."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.labels import Organ
from napari_hybridseg.widgets.correct_state import RangeBrush
from napari_hybridseg.widgets.correct_tools import TOOLS, ToolChoices
from napari_hybridseg.widgets.inputs import ChoiceBox, NumberBox
from napari_hybridseg.widgets.state import Choice

SCOPES = (Choice("volume", "the whole volume (3D)"), Choice("slice", "the slice that is shown"))
RANGE_LETTER = "Y"
_COLUMNS = 2
_WIDEST = 1e6


class CorrectToolBox(QWidget):
    """Buttons that apply a tool each; ``wanted`` gives its key."""

    wanted = Signal(str)
    choices_chosen = Signal(object)
    brush_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = ToolChoices()
        self.buttons = {tool.key: QPushButton(f"{tool.title} ({tool.letter})") for tool in TOOLS}
        self.scope = ChoiceBox()
        self.scope.show_choices(SCOPES, "volume")
        self.width_box = _number(0.1, 100, " mm", "Bumps narrower than about this go.")
        self.island_box = _number(0.01, 10000, " mL", "Parts smaller than this go.")
        self.into = ChoiceBox("choose an organ")
        self.range_box = QCheckBox(f"Paint only where the image has values ({RANGE_LETTER})")
        self.range_box.setToolTip(
            "Strokes only take on voxels whose value lies in the range; one undo takes all back."
        )
        self.low, self.high = (_number(-_WIDEST, _WIDEST, "", "") for _ in range(2))
        self._lay_out()
        self._connect()

    def show_state(
        self, choices: ToolChoices, brush: RangeBrush, organs: Sequence[Organ], reason: str
    ) -> None:
        """Show the state; ``reason`` says why no tool can be used."""
        self._choices = choices
        self.scope.show_key("slice" if choices.in_slice else "volume")
        self.into.show_choices([Choice(str(o.id), o.name) for o in organs], str(choices.into))
        for box, value in (
            (self.width_box, choices.width_mm),
            (self.island_box, choices.below_ml),
            (self.low, brush.low),
            (self.high, brush.high),
        ):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        self.range_box.blockSignals(True)
        self.range_box.setChecked(brush.is_on)
        self.range_box.blockSignals(False)
        self.range_box.setEnabled(not reason)
        for tool in TOOLS:
            why = reason
            if not why and "into" in tool.asks and not choices.into:
                why = "Choose below which organ it becomes."
            self.buttons[tool.key].setEnabled(not why)
            self.buttons[tool.key].setToolTip(why or f"{tool.help} One undo step.")

    def _connect(self) -> None:
        for key, button in self.buttons.items():
            button.clicked.connect(lambda _, key=key: self.wanted.emit(key))
        self.scope.chosen.connect(lambda key: self._choose(in_slice=key == "slice"))
        self.width_box.valueChanged.connect(lambda value: self._choose(width_mm=value))
        self.island_box.valueChanged.connect(lambda value: self._choose(below_ml=value))
        self.into.chosen.connect(lambda key: self._choose(into=int(key)))
        self.range_box.toggled.connect(self._choose_brush)
        for box in (self.low, self.high):
            box.valueChanged.connect(self._choose_brush)

    def _choose(self, **fields: object) -> None:
        self.choices_chosen.emit(self._choices.model_copy(update=fields))

    def _choose_brush(self, _: object = None) -> None:
        self.brush_chosen.emit(
            RangeBrush(self.range_box.isChecked(), self.low.value(), self.high.value())
        )

    def _lay_out(self) -> None:
        grid = QGridLayout()
        for number, button in enumerate(self.buttons.values()):
            grid.addWidget(button, number // _COLUMNS, number % _COLUMNS)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Tools work on", self.scope)
        form.addRow("Smooth below", self.width_box)
        form.addRow("Islands below", self.island_box)
        form.addRow("Split or merge into", self.into)
        limits = QHBoxLayout()
        for widget in (self.low, QLabel("to"), self.high):
            limits.addWidget(widget)
        limits.addStretch(1)
        form.addRow(self.range_box)
        form.addRow("from", limits)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addLayout(form)


def _number(low: float, high: float, unit: str, help_text: str) -> NumberBox:
    box = NumberBox()
    box.setRange(low, high)
    box.setDecimals(1 if unit != " mL" else 2)
    box.setSuffix(unit)
    box.setToolTip(help_text)
    return box
