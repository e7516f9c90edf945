"""How good a label map is, against a reference."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.atomic import WriteError, write_text
from napari_hybridseg.metrics.scores import compared_csv, compared_json
from napari_hybridseg.widgets.inputs import ChoiceBox, Line
from napari_hybridseg.widgets.run_button import RunButton
from napari_hybridseg.widgets.score_table import ScoreTable
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Choice, FaceState, Task, why_not_score

_NONE = Choice("", "none")
_ERRORS_HELP = (
    "Show what is too much (orange), missing (blue) and another organ (purple), and yellow lines "
    "as long as HD95."
)
_NO_SCORES = "There are no scores yet."


class ReviewSection(QWidget):
    """What is compared with what, the scores, and taking them along."""

    label_map_chosen = Signal(str)
    reference_chosen = Signal(str)
    rival_chosen = Signal(str)
    errors_wanted = Signal(bool)
    next_worst_wanted = Signal()
    told = Signal(str)

    def __init__(self, state: FaceState, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._settings = settings
        self.label_map = ChoiceBox()
        self.reference = ChoiceBox()
        self.rival = ChoiceBox()
        self.rival.setToolTip("A second label map, scored against the same reference.")
        self.hint = Line()
        self.table = ScoreTable()
        self.notes = Line("quiet")
        self.errors_button = QPushButton("Show errors")
        self.errors_button.setCheckable(True)
        self.next_button = QPushButton("Next worst")
        self.copy_button = QPushButton("Copy")
        self.save_button = QPushButton("Save…")
        help_text = "Compare the label map with the reference: Dice, HD95, volumes."
        self.button = RunButton("Score", help_text, Task.SCORE)
        self._lay_out()
        self.label_map.chosen.connect(self.label_map_chosen)
        self.reference.chosen.connect(self.reference_chosen)
        self.rival.chosen.connect(self.rival_chosen)
        self.errors_button.clicked.connect(self.errors_wanted)
        self.next_button.clicked.connect(self.next_worst_wanted)
        self.copy_button.clicked.connect(self.copy)
        self.save_button.clicked.connect(self._ask_for_file)
        events = state.events
        for signal in (
            events.label_maps,
            events.label_map,
            events.reference,
            events.rival,
            events.phase,
        ):
            signal.connect(self.refresh)
        for signal in (events.score, events.score_is_stale, events.shows_errors):
            signal.connect(self.refresh_scores)
        self.refresh()
        self.refresh_scores()

    def refresh(self) -> None:
        """Show what is compared, and whether it can be."""
        state = self._state
        for box, key in ((self.label_map, state.label_map), (self.reference, state.reference)):
            box.show_choices([_NONE, *state.label_maps], key)
            box.setEnabled(bool(state.label_maps))
            if not state.label_maps:
                box.setToolTip("There is no label map yet: segment a volume, or open one.")
        others = [c for c in state.label_maps if c.key not in (state.label_map, state.reference)]
        self.rival.show_choices([_NONE, *others], state.rival)
        self.rival.setEnabled(bool(others))
        reason = why_not_score(state)
        self.button.show_state(state, reason)
        self.hint.show_text("" if state.phase.is_busy else reason)

    def refresh_scores(self) -> None:
        """Show the scores."""
        score = self._state.score
        self.table.setVisible(score is not None)
        self.table.show_score(score)
        self.errors_button.setChecked(self._state.shows_errors)
        for button, purpose in (
            (self.errors_button, _ERRORS_HELP),
            (self.next_button, "Go to the largest error of the worst organ, then of the next."),
            (self.copy_button, "Copy the table, to paste it into a spreadsheet."),
            (self.save_button, "Save every number as a CSV or JSON file."),
        ):
            button.setEnabled(score is not None)
            button.setToolTip(purpose if score else _NO_SCORES)
        if score is None:
            self.notes.show_text("")
            return
        lines = [
            f"{score.label_map} against {score.reference}; HD95 by the "
            f"{score.report.convention} convention. Click an organ to go there, again for its "
            "largest error.",
            *score.report.notes,
        ]
        if score.rival is not None:
            lines.insert(1, f"'other' is {score.rival_name}.")
        if self._state.score_is_stale:
            lines.insert(0, "Edited since; the scores follow when the engine is free.")
        self.notes.show_text("\n".join(lines), "warning" if self._state.score_is_stale else "quiet")

    def copy(self) -> None:
        """Put the table as it stands onto the clipboard."""
        rows = self.table.scores.texts()
        QApplication.clipboard().setText("\n".join("\t".join(row) for row in rows))
        self.told.emit("The scores are on the clipboard.")

    def save(self, path: Path) -> None:
        """Write every number to a CSV file, or as JSON where the name ends so."""
        score = self._state.score
        if score is None:
            return
        is_json = path.suffix.lower() == ".json"
        if score.rival is None:
            text = score.report.to_json() if is_json else score.report.to_csv()
        else:
            both = {score.label_map: score.report, score.rival_name: score.rival}
            text = compared_json(both) if is_json else compared_csv(both)
        try:  # the dialog has asked already whether a file may be replaced
            write_text(path, text, overwrite=True)
        except WriteError as error:
            self.told.emit(str(error))
        else:
            self.told.emit(f"The scores are in {path}.")

    def _ask_for_file(self) -> None:
        folder = Path(self._settings.folder("scores"))
        name, kind = QFileDialog.getSaveFileName(
            self, "Save the scores", str(folder / "scores.csv"), "CSV (*.csv);;JSON (*.json)"
        )
        if name:
            suffix = ".json" if "json" in kind else ".csv"
            path = Path(name) if Path(name).suffix else Path(name).with_suffix(suffix)
            self._settings.set_folder("scores", path.parent)
            self.save(path)

    def _lay_out(self) -> None:
        choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices.addRow("Label map", self.label_map)
        choices.addRow("Reference", self.reference)
        choices.addRow("Compare with", self.rival)
        bottom = QHBoxLayout()
        bottom.addWidget(self.errors_button)
        bottom.addWidget(self.next_button)
        bottom.addWidget(self.copy_button)
        bottom.addWidget(self.save_button)
        bottom.addStretch(1)
        bottom.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choices)
        for widget in (self.hint, self.table, self.notes):
            layout.addWidget(widget)
        layout.addLayout(bottom)
