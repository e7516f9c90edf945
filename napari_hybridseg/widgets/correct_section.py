"""Correcting: the chosen label map becomes a working layer, and then a case of a set."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QInputDialog,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.widgets.correct_left_box import CorrectLeftBox
from napari_hybridseg.widgets.correct_next_box import CorrectNextBox
from napari_hybridseg.widgets.correct_state import (
    CorrectState,
    edits_line,
    why_not_accept,
    why_not_correct,
    why_not_edit,
)
from napari_hybridseg.widgets.correct_stroke_box import CorrectStrokeBox
from napari_hybridseg.widgets.correct_tool_box import CorrectToolBox
from napari_hybridseg.widgets.inputs import ChoiceBox, Fold, Line
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Choice, FaceState, Task
from napari_hybridseg.widgets.teach_state import TeachState

_BACKGROUND = Choice("0", "background (erase)")


class CorrectSection(QWidget):
    """What was left, what is edited, tools, strokes, the set and the button."""

    begin_wanted = Signal()
    empty_wanted = Signal()
    accept_wanted = Signal()
    organ_chosen = Signal(int)
    organ_added = Signal(str)
    undo_wanted = Signal()
    redo_wanted = Signal()
    set_chosen = Signal(object)
    cancel_wanted = Signal()

    def __init__(
        self,
        face: FaceState,
        state: CorrectState,
        teach: TeachState,
        settings: Settings,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._face = face
        self._state = state
        self._teach = teach
        self._settings = settings
        self.left = CorrectLeftBox()
        self.line = Line("plain")
        self.organ = ChoiceBox("none")
        self.new_organ_button = QPushButton("New organ…")
        self.undo_button = QPushButton("Undo (Ctrl+Z)")
        self.redo_button = QPushButton("Redo (Ctrl+Shift+Z)")
        self.tools = CorrectToolBox()
        self.strokes = CorrectStrokeBox(face, state)
        self.next = CorrectNextBox(face, state, settings)
        self.tools_fold, self.strokes_fold = Fold("Tools"), Fold("Strokes")
        self.next_fold = Fold("Which case next")
        self.set_line = Line("plain")
        self.set_button = QPushButton("Choose…")
        self.hint = Line()
        self.cancel_button = QPushButton("Cancel")
        self.empty_button = QPushButton("Start empty")
        self.begin_button = QPushButton("Correct")
        self.accept_button = QPushButton("Accept case")
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Show the state."""
        face, state, now = self._face, self._state, self._state.correction
        self.left.show_left(
            state.recoverable, f"{state.working}; wait a moment." if state.working else ""
        )
        self._show_edits()
        idle = why_not_edit(state)
        for widget, help_text in (
            (self.organ, "What the brush paints, and what tools work on."),
            (self.new_organ_button, "Add an organ that the checkpoint does not know."),
            (self.undo_button, "Take the last step back."),
            (self.redo_button, "Do it again."),
        ):
            widget.setEnabled(not idle)
            widget.setToolTip(idle or help_text)
        self.tools.show_state(state.choices, state.brush, now.organs if now else (), idle)
        self.strokes.refresh()
        self.next.refresh()
        self._show_set()
        reason, refusal = (
            why_not_correct(face, state),
            why_not_accept(state, self._teach.corrections),
        )
        for button in (self.begin_button, self.empty_button):
            button.setVisible(now is None)
            button.setEnabled(not reason)
        self.begin_button.setToolTip(reason or self._what_begins())
        self.empty_button.setToolTip(
            reason or "Begin with an empty label map and the checkpoint's organs."
        )
        self.empty_button.setVisible(now is None and bool(face.label_map))
        self.accept_button.setVisible(now is not None)
        self.accept_button.setEnabled(not refusal)
        self.accept_button.setToolTip(refusal or "Put the case into the set, whole or not at all.")
        self.cancel_button.setVisible(face.task is Task.CORRECT and face.phase.is_busy)
        self.hint.show_text(state.working + "…" if state.working else self._hint(reason, refusal))

    def _hint(self, reason: str, refusal: str) -> str:
        return reason if self._state.correction is None else refusal

    def _what_begins(self) -> str:
        if self._face.label_map:
            return "Lock the network's result and paint in a copy of it."
        return "Begin with an empty label map: there is no result yet."

    def _show_edits(self) -> None:
        now, state = self._state.correction, self._state
        if now is None:
            self.line.show_text("")
            self.organ.show_choices((), "")
            return
        self.line.show_text(f"{now.title} · {edits_line(now.edits)}")
        organs = [Choice(str(organ.id), organ.name) for organ in now.organs]
        self.organ.show_choices((*organs, _BACKGROUND), str(state.organ))

    def _show_set(self) -> None:
        corrections = self._teach.corrections
        if corrections is None:
            self.set_line.show_text("none is chosen")
            return
        count = len(corrections.cases)
        self.set_line.show_text(
            f"{corrections.folder.name}: {count} case{'s' if count != 1 else ''}"
        )
        self.set_line.setToolTip(str(corrections.folder))

    def _connect(self) -> None:
        self.begin_button.clicked.connect(self.begin_wanted)
        self.empty_button.clicked.connect(self.empty_wanted)
        self.accept_button.clicked.connect(self.accept_wanted)
        self.cancel_button.clicked.connect(self.cancel_wanted)
        self.organ.chosen.connect(lambda key: self.organ_chosen.emit(int(key)))
        self.new_organ_button.clicked.connect(self._ask_for_organ)
        self.undo_button.clicked.connect(self.undo_wanted)
        self.redo_button.clicked.connect(self.redo_wanted)
        self.set_button.clicked.connect(self._ask_for_set)
        mine, face = self._state.events, self._face.events
        for signal in (
            mine.correction,
            mine.recoverable,
            mine.working,
            mine.organ,
            mine.choices,
            mine.brush,
            mine.statement,
            mine.taught,
            mine.ranking,
            self._teach.events.corrections,
            face.phase,
            face.checkpoint,
            face.volume,
            face.volume_facts,
            face.label_map,
        ):
            signal.connect(self.refresh)

    def _ask_for_organ(self) -> None:
        name, is_given = QInputDialog.getText(self, "New organ", "Its name:")
        if is_given:
            self.organ_added.emit(name)

    def _ask_for_set(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of accepted corrections", self._settings.folder("corrections")
        )
        if chosen:
            self.set_chosen.emit(Path(chosen))

    def _lay_out(self) -> None:
        self.set_button.setToolTip("A folder of accepted corrections; an empty one is a new set.")
        self.cancel_button.setProperty("hybridseg", "stop")
        self.cancel_button.setToolTip("Stop the job.")
        for button in (self.begin_button, self.accept_button):
            button.setProperty("hybridseg", "primary")
        painting = QHBoxLayout()
        painting.addWidget(self.organ, 1)
        painting.addWidget(self.new_organ_button)
        steps = QHBoxLayout()
        for button in (self.undo_button, self.redo_button):
            steps.addWidget(button)
        steps.addStretch(1)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Organ", painting)
        form.addRow("Steps", steps)
        for fold, box in (
            (self.tools_fold, self.tools),
            (self.strokes_fold, self.strokes),
            (self.next_fold, self.next),
        ):
            fold.body.addWidget(box)
        into = QFormLayout()
        into.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        row = QHBoxLayout()
        row.addWidget(self.set_line, 1)
        row.addWidget(self.set_button)
        into.addRow("Corrections", row)
        bottom = QHBoxLayout()
        bottom.addStretch(1)
        for button in (
            self.cancel_button,
            self.empty_button,
            self.begin_button,
            self.accept_button,
        ):
            bottom.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.left)
        layout.addWidget(self.line)
        layout.addLayout(form)
        for fold in (self.tools_fold, self.strokes_fold, self.next_fold):
            layout.addWidget(fold)
        layout.addLayout(into)
        layout.addWidget(self.hint)
        layout.addLayout(bottom)
