"""Saying what is wrong, and having the region solved anew or the network taught."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hybridseg.counting import counted
from napari_hybridseg.widgets.correct_state import (
    CorrectState,
    why_not_ask,
    why_not_edit,
    why_not_teach_here,
)
from napari_hybridseg.widgets.correct_tool_box import SCOPES
from napari_hybridseg.widgets.inputs import ChoiceBox, Line
from napari_hybridseg.widgets.state import Choice, FaceState

REPAIR_LETTER, TEACH_LETTER = "R", "T"
_SWATCH = 12


class CorrectStrokeBox(QWidget):
    """Statement, strokes and what the engine does with them."""

    statement_chosen = Signal(int)
    choices_chosen = Signal(object)
    repair_wanted = Signal()
    teach_wanted = Signal()
    clear_wanted = Signal()
    keep_wanted = Signal()
    drop_wanted = Signal()

    def __init__(self, face: FaceState, state: CorrectState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._face = face
        self._state = state
        self.statement = ChoiceBox("choose what a stroke says")
        self.draw_button = QPushButton("Draw")
        self.scope = ChoiceBox()
        self.repair_button = QPushButton(f"Repair ({REPAIR_LETTER})")
        self.teach_button = QPushButton(f"Teach here ({TEACH_LETTER})")
        self.clear_button = QPushButton("Clear strokes")
        self.line = Line()
        self.taught_line = Line("plain")
        self.keep_button = QPushButton("Keep")
        self.drop_button = QPushButton("Drop")
        self._lay_out()
        self._connect()

    def refresh(self) -> None:
        """Show the state."""
        face, state = self._face, self._state
        chosen = str(state.statement or (state.statements[0].value if state.statements else ""))
        self.statement.show_choices(
            [Choice(str(said.value), f"This {said.text}") for said in state.statements], chosen
        )
        for row, said in enumerate(state.statements):
            self.statement.setItemIcon(row, _swatch(said.colour))
        self.scope.show_choices(SCOPES, "slice" if state.choices.in_slice else "volume")
        idle = why_not_edit(state)
        _enable(self.draw_button, idle, "Paint strokes that say so, in any view.")
        self.statement.setEnabled(not idle)
        _enable(
            self.repair_button,
            why_not_ask(face, state),
            "Solve the region around the new strokes anew; strokes are always obeyed. "
            "One undo step.",
        )
        _enable(
            self.teach_button,
            why_not_teach_here(face, state),
            "A few gradient steps on the strokes; the region is then looked at again. "
            "The checkpoint stays as it is.",
        )
        now = state.correction
        has_none = "" if now is not None and now.strokes else "There are no strokes."
        _enable(self.clear_button, idle or has_none, "Forget the strokes; the labels stay.")
        self.line.show_text(
            f"{counted(now.strokes, 'voxel')} of strokes, {now.fresh_strokes:,} of them new"
            if now is not None and now.strokes
            else ""
        )
        self.taught_line.show_text(
            "The network was taught here; the checkpoint is unchanged." if state.taught else ""
        )
        for button in (self.keep_button, self.drop_button):
            button.setVisible(state.taught is not None)

    def _connect(self) -> None:
        self.statement.chosen.connect(lambda key: self.statement_chosen.emit(int(key)))
        self.draw_button.clicked.connect(
            lambda: self.statement_chosen.emit(int(self.statement.key))
        )
        self.scope.chosen.connect(self._choose_scope)
        self.repair_button.clicked.connect(self.repair_wanted)
        self.teach_button.clicked.connect(self.teach_wanted)
        self.clear_button.clicked.connect(self.clear_wanted)
        self.keep_button.clicked.connect(self.keep_wanted)
        self.drop_button.clicked.connect(self.drop_wanted)

    def _choose_scope(self, key: str) -> None:
        update = {"in_slice": key == "slice"}
        self.choices_chosen.emit(self._state.choices.model_copy(update=update))

    def _lay_out(self) -> None:
        self.keep_button.setToolTip(
            "Keep what was taught in a small file; the next fine-tune begins with it."
        )
        self.drop_button.setToolTip("Forget what was taught; the labels that it gave stay.")
        says = QHBoxLayout()
        says.addWidget(self.statement, 1)
        says.addWidget(self.draw_button)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("A stroke says", says)
        form.addRow("It changes", self.scope)
        self.scope.setToolTip(
            "Whether a repair goes beyond the slice that is shown; as with the tools."
        )
        asks, taught = QHBoxLayout(), QHBoxLayout()
        for button in (self.repair_button, self.teach_button, self.clear_button):
            asks.addWidget(button)
        asks.addStretch(1)
        taught.addWidget(self.taught_line, 1)
        taught.addWidget(self.keep_button)
        taught.addWidget(self.drop_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.line)
        layout.addLayout(asks)
        layout.addLayout(taught)


def _enable(button: QPushButton, reason: str, help_text: str) -> None:
    button.setEnabled(not reason)
    button.setToolTip(reason or help_text)


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(_SWATCH, _SWATCH)
    picture.fill(QColor(colour))
    return QIcon(picture)
