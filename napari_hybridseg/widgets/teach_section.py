"""Teaching the checkpoint from the accepted corrections, with one button."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.widgets.change_table import ChangeTable
from napari_hybridseg.widgets.inputs import ChoiceBox, Fold, Line, NumberBox
from napari_hybridseg.widgets.run_button import RunButton
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Choice, FaceState, Phase, Task
from napari_hybridseg.widgets.teach_plot import TeachPlot
from napari_hybridseg.widgets.teach_state import TeachState, why_not_teach

_STRATEGIES = (
    Choice("auto", "automatic"),
    Choice("norms", "norms and biases (few cases, forgets least)"),
    Choice("decoder", "decoder and head"),
    Choice("full", "everything"),
)
_UNLIMITED = "no limit"
_FOLDERS = (
    "a correction set, a folder with a dataset.json, or one with NAME, NAME_reference and "
    "labels.json."
)


class TeachSection(QWidget):
    """Set, strategy, time, the button; then the plot and what it was worth."""

    set_chosen = Signal(object)
    options_chosen = Signal(object)
    start_chosen = Signal(object)
    finish_wanted = Signal()
    pause_wanted = Signal(bool)
    use_wanted = Signal()
    compare_wanted = Signal()
    roll_back_wanted = Signal()

    def __init__(
        self, face: FaceState, state: TeachState, settings: Settings, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._face = face
        self._state = state
        self._settings = settings
        self.set_line = Line("plain")
        self.set_button = QPushButton("Choose…")
        self.set_button.setToolTip("A folder of accepted corrections; an empty one is a new set.")
        self.strategy = ChoiceBox()
        self.minutes = NumberBox()
        self.minutes.setDecimals(0)
        self.minutes.setRange(0, 24 * 60)
        self.minutes.setSuffix(" min")
        self.minutes.setSpecialValueText(_UNLIMITED)
        self.minutes.setToolTip("Scoring before and after is within this time.")
        self.more = Fold("Old cases")
        self.rehearse_button, self.guard_button = QPushButton("Choose…"), QPushButton("Choose…")
        self.rehearse_clear, self.guard_clear = QPushButton("Clear"), QPushButton("Clear")
        self.rehearse_line, self.guard_line = Line("plain"), Line("plain")
        self.start_line, self.start_button = Line("plain"), QPushButton("Choose…")
        self.start_clear = QPushButton("Clear")
        self.hint = Line()
        self.pause_button = QPushButton("Pause")
        self.pause_button.setCheckable(True)
        self.finish_button = QPushButton("Stop and keep the best")
        self.button = RunButton("Fine-tune", "Learn from the corrections.", Task.TEACH)
        self.plot = TeachPlot()
        self.table = ChangeTable()
        self.verdict = Line("plain")
        self.use_button = QPushButton("Use it now")
        self.compare_button = QPushButton("Compare both")
        self.back_button = QPushButton("Roll back")
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Show the state."""
        face, state = self._face, self._state
        corrections, options = state.corrections, state.options
        if corrections is None:
            self.set_line.show_text("none is chosen")
        else:
            count = len(corrections.cases)
            self.set_line.show_text(
                f"{corrections.folder.name}: {count} case{'s' if count != 1 else ''}"
            )
            self.set_line.setToolTip(str(corrections.folder))
        self.strategy.show_choices(_STRATEGIES, options.strategy)
        self.minutes.blockSignals(True)
        self.minutes.setValue(options.minutes or 0)
        self.minutes.blockSignals(False)
        self._show_old_cases()
        reason = why_not_teach(face, state)
        self.button.show_state(face, reason)
        self.hint.show_text("" if face.phase.is_busy else reason)
        runs = face.task is Task.TEACH and face.phase is Phase.RUNNING
        self.finish_button.setVisible(runs and not state.is_finishing)
        self.pause_button.setVisible(runs and not state.is_finishing)
        self.pause_button.setChecked(state.is_paused)
        self.pause_button.setText("Go on" if state.is_paused else "Pause")
        self.plot.show_curves(state.curves)
        self._show_report()

    def _show_old_cases(self) -> None:
        options = self._state.options
        start = options.start_from
        self.start_line.show_text(start.name if start else "the checkpoint alone")
        self.start_line.setToolTip(str(start or ""))
        self.start_clear.setVisible(start is not None)
        self.rehearse_clear.setVisible(options.rehearse is not None)
        self.guard_clear.setVisible(options.guard is not None)
        self.rehearse_line.show_text(str(options.rehearse) if options.rehearse else "none")
        self.guard_line.show_text(
            str(options.guard)
            if options.guard
            else "held-out old cases, or the parent's own sample"
        )

    def _show_report(self) -> None:
        report, face = self._state.report, self._face
        self.table.show_report(report)
        self.table.setVisible(self.table.rowCount() > 0)
        self.verdict.show_text(
            report.verdict if report else "",
            "plain" if report is None or report.recommended else "warning",
        )
        for button in (self.use_button, self.compare_button, self.back_button):
            button.setVisible(report is not None)
        if report is None:
            return
        used = face.checkpoint.path.resolve() if face.checkpoint else None
        is_used = used == report.path.resolve()
        busy = "Another job is running; wait for it or cancel it." if face.phase.is_busy else ""
        self.use_button.setText("Use it now" if report.recommended else "Use it anyway")
        _enable(
            self.use_button,
            busy or ("The new checkpoint is in use." if is_used else ""),
            "Take the new checkpoint for the next volumes.",
        )
        _enable(
            self.compare_button,
            busy or ("" if face.volume else "Open a volume first."),
            "Segment this volume with the parent and with the new checkpoint: two layers, two "
            "columns of scores.",
        )
        _enable(
            self.back_button,
            busy or ("" if is_used else "The parent is in use."),
            "Take the parent again; its file was never changed.",
        )

    def _change(self, **fields: object) -> None:
        options = self._state.options
        self.options_chosen.emit(options.model_validate({**options.model_dump(), **fields}))

    def _connect(self) -> None:
        self.set_button.clicked.connect(self._ask_for_set)
        self.strategy.chosen.connect(lambda key: self._change(strategy=key))
        self.minutes.valueChanged.connect(lambda value: self._change(minutes=value or None))
        self.rehearse_button.clicked.connect(lambda: self._ask_for_cases("rehearse"))
        self.guard_button.clicked.connect(lambda: self._ask_for_cases("guard"))
        self.rehearse_clear.clicked.connect(lambda: self._change(rehearse=None))
        self.guard_clear.clicked.connect(lambda: self._change(guard=None))
        self.start_button.clicked.connect(self._ask_for_start)
        self.start_clear.clicked.connect(lambda: self.start_chosen.emit(None))
        self.pause_button.clicked.connect(self.pause_wanted)
        self.finish_button.clicked.connect(self.finish_wanted)
        self.use_button.clicked.connect(self.use_wanted)
        self.compare_button.clicked.connect(self.compare_wanted)
        self.back_button.clicked.connect(self.roll_back_wanted)
        mine, face = self._state.events, self._face.events
        for signal in (mine.corrections, mine.options, mine.is_paused, mine.is_finishing):
            signal.connect(self.refresh)
        for signal in (mine.report, face.phase, face.checkpoint, face.volume):
            signal.connect(self.refresh)
        mine.curves.connect(self.plot.show_curves)

    def _ask_for_set(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of accepted corrections", self._settings.folder("corrections")
        )
        if chosen:
            self.set_chosen.emit(Path(chosen))

    def _ask_for_cases(self, field: str) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of labelled cases", self._settings.folder(field)
        )
        if chosen:
            self._settings.set_folder(field, Path(chosen))
            self._change(**{field: Path(chosen)})

    def _ask_for_start(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self,
            "What 'Teach here' learnt",
            self._settings.folder("taught"),
            "Taught changes (*.safetensors)",
        )
        if chosen:
            self.start_chosen.emit(Path(chosen))

    def _lay_out(self) -> None:
        choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices.addRow("Corrections", _beside(self.set_line, self.set_button))
        choices.addRow("What learns", self.strategy)
        choices.addRow("At most", self.minutes)
        start = _beside(self.start_line, self.start_button)
        start.addWidget(self.start_clear)
        choices.addRow("Begins with", start)
        self.start_button.setToolTip(FineTuneOptions.model_fields["start_from"].description or "")
        self.start_clear.setToolTip("Begin with the checkpoint alone.")
        old = QFormLayout()
        old.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rehearse = _beside(self.rehearse_line, self.rehearse_button)
        rehearse.addWidget(self.rehearse_clear)
        guard = _beside(self.guard_line, self.guard_button)
        guard.addWidget(self.guard_clear)
        old.addRow("Rehearse", rehearse)
        old.addRow("Guard set", guard)
        self.rehearse_button.setToolTip(
            f"Old cases that are shown in between, against forgetting: {_FOLDERS}"
        )
        self.rehearse_clear.setToolTip("Rehearse nothing.")
        self.guard_clear.setToolTip("Take held-out old cases, or the parent's own sample.")
        self.strategy.setToolTip("What of the network may change.")
        self.pause_button.setToolTip("Let the fine-tune wait, or go on.")
        self.finish_button.setToolTip("End now; the best weights so far are scored and kept.")
        self.guard_button.setToolTip(f"Labelled cases that must not get worse: {_FOLDERS}")
        self.more.body.addLayout(old)
        bottom, after = QHBoxLayout(), QHBoxLayout()
        bottom.addStretch(1)
        for button in (self.pause_button, self.finish_button, self.button):
            bottom.addWidget(button)
        for button in (self.use_button, self.compare_button, self.back_button):
            after.addWidget(button)
        after.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choices)
        layout.addWidget(self.more)
        layout.addWidget(self.hint)
        layout.addLayout(bottom)
        for widget in (self.plot, self.verdict, self.table):
            layout.addWidget(widget)
        layout.addLayout(after)


def _enable(button: QPushButton, reason: str, help_text: str) -> None:
    button.setEnabled(not reason)
    button.setToolTip(reason or help_text)


def _beside(line: QWidget, button: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(line, 1)
    row.addWidget(button)
    return row
