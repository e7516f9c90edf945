"""Teaching the checkpoint from the accepted corrections, with one button."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.sections.change_view import ChangeView
from HybridSegLib.sections.shown import set_text, show_choices, show_line, show_run_button
from HybridSegLib.state import BUSY, NO_VOLUME, Phase, why_not_teach

_UNLIMITED = "no limit"
_COMPARE = (
    "Segment this volume with the parent and with the new checkpoint: two segmentations, two "
    "columns of scores."
)


class TeachSection:
    """Set, strategy, time, the button; then the numbers and what it was worth."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        self._shown: Any = None
        self.table = ChangeView(ui.changeTable)
        self.table.show_rows([])
        teaching = controller.teaching
        ui.minutesBox.specialValueText = _UNLIMITED
        ui.teachSetButton.connect("clicked(bool)", lambda *_: self.choose_set())
        ui.strategyBox.connect("activated(int)", self._on_strategy)
        ui.minutesBox.connect(
            "valueChanged(int)", lambda value: teaching.change(minutes=int(value) or None)
        )
        ui.rehearseButton.connect("clicked(bool)", lambda *_: self._ask_for_cases("rehearse"))
        ui.guardButton.connect("clicked(bool)", lambda *_: self._ask_for_cases("guard"))
        ui.rehearseClearButton.connect("clicked(bool)", lambda *_: teaching.change(rehearse=None))
        ui.guardClearButton.connect("clicked(bool)", lambda *_: teaching.change(guard=None))
        ui.pauseButton.connect("clicked(bool)", teaching.pause)
        ui.finishButton.connect("clicked(bool)", lambda *_: teaching.finish())
        ui.teachButton.connect("clicked(bool)", lambda *_: self.press())
        ui.useButton.connect("clicked(bool)", lambda *_: teaching.use())
        ui.compareButton.connect("clicked(bool)", lambda *_: teaching.compare())
        ui.backButton.connect("clicked(bool)", lambda *_: teaching.roll_back())

    def refresh(self) -> None:
        """Show the state."""
        ui, state = self._ui, self._controller.state
        options = state.teach_options
        show_line(ui.teachSetLine, set_text(state.corrections))
        for widget in (ui.teachSetButton, ui.strategyBox, ui.minutesBox, ui.oldCases):
            widget.enabled = options is not None
        if options is not None:
            self._show_options(options)
        reason = why_not_teach(state)
        help_text = "Learn from the corrections."
        show_run_button(ui.teachButton, "Fine-tune", help_text, "teach", state, reason)
        show_line(ui.teachHint, "" if state.phase.is_busy else reason)
        runs = state.task == "teach" and state.phase is Phase.RUNNING
        for button in (ui.finishButton, ui.pauseButton):
            button.visible = runs and not state.is_finishing
        ui.pauseButton.checked = state.is_paused
        ui.pauseButton.text = "Go on" if state.is_paused else "Pause"
        show_line(ui.curveLine, _curve_text(state.curves))
        self._show_report()

    def press(self) -> None:
        """Start, or stop what runs."""
        controller = self._controller
        busy = controller.state.phase.is_busy
        (controller.cancel if busy else controller.teaching.fine_tune)()

    def choose_set(self) -> None:
        """Take another correction set."""
        folder = self._dialogs.choose_folder("A folder of accepted corrections", "corrections")
        if folder is not None:
            self._controller.correcting.choose_set(folder)

    def _show_options(self, options: Any) -> None:
        ui = self._ui
        strategies = self._controller.bench.teaching.strategies
        show_choices(ui.strategyBox, strategies, options.strategy)
        blocked = ui.minutesBox.blockSignals(True)
        ui.minutesBox.value = int(options.minutes or 0)
        ui.minutesBox.blockSignals(blocked)
        ui.rehearseClearButton.visible = options.rehearse is not None
        ui.guardClearButton.visible = options.guard is not None
        show_line(ui.rehearseLine, str(options.rehearse) if options.rehearse else "none")
        show_line(
            ui.guardLine,
            str(options.guard)
            if options.guard
            else "held-out old cases, or the parent's own sample",
        )

    def _show_report(self) -> None:
        ui, state = self._ui, self._controller.state
        report = state.tuned
        if report is not self._shown:
            self._shown = report
            rows = self._controller.bench.teaching.rows(report) if report else []
            self.table.show_rows(rows)
        is_warning = report is not None and not report.recommended
        show_line(ui.verdictLine, report.verdict if report else "", is_error=is_warning)
        for button in (ui.useButton, ui.compareButton, ui.backButton):
            button.visible = report is not None
        if report is None:
            return
        used = state.checkpoint.path.resolve() if state.checkpoint else None
        is_used = used == report.path.resolve()
        busy = BUSY if state.phase.is_busy else ""
        ui.useButton.text = "Use it now" if report.recommended else "Use it anyway"
        _enable(
            ui.useButton,
            busy or ("The new checkpoint is in use." if is_used else ""),
            "Take the new checkpoint for the next volumes.",
        )
        _enable(ui.compareButton, busy or ("" if state.has_volume else NO_VOLUME), _COMPARE)
        _enable(
            ui.backButton,
            busy or ("" if is_used else "The parent is in use."),
            "Take the parent again; its file was never changed.",
        )

    def _on_strategy(self, index: int) -> None:
        self._controller.teaching.change(strategy=self._ui.strategyBox.itemData(index))

    def _ask_for_cases(self, field: str) -> None:
        folder = self._dialogs.choose_folder("A folder of labelled cases", field)
        if folder is not None:
            self._controller.teaching.change(**{field: folder})


def _enable(button: Any, reason: str, purpose: str) -> None:
    button.enabled = not reason
    button.toolTip = reason or purpose


def _curve_text(curves: dict[str, Any]) -> str:
    if not curves:
        return ""
    last = [f"{name} {points[-1][1]:.3f}" for name, points in curves.items()]
    step = max(points[-1][0] for points in curves.values())
    return f"Step {step}: " + ", ".join(last)
