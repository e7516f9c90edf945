"""Running the checkpoint on the volume."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hybridseg.widgets.card_values import card_values, precision_value
from napari_hybridseg.widgets.inputs import ChoiceBox, Fold, Line
from napari_hybridseg.widgets.options_form import OptionsForm
from napari_hybridseg.widgets.presets import QUALITY_HELP, Quality
from napari_hybridseg.widgets.run_button import RunButton
from napari_hybridseg.widgets.state import (
    Choice,
    FaceState,
    Phase,
    Task,
    fit_warning,
    why_not_segment,
)
from napari_hybridseg.widgets.wording import cost_line

_HELP = "Name the organs in this volume."


class SegmentSection(QWidget):
    """Device, quality, the other options, and the button."""

    device_chosen = Signal(str)
    quality_chosen = Signal(object)
    options_chosen = Signal(object)
    stop_and_keep_wanted = Signal()

    def __init__(self, state: FaceState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.device = ChoiceBox()
        self.quality = ChoiceBox()
        self.more = Fold("More options")
        self.form = OptionsForm(state.options, leave_out=("device",))
        self.more.body.addWidget(self.form)
        self.cost = Line("quiet")
        self.cost.setToolTip(
            "Windows that the network sees, time from two windows of noise, most memory at once."
        )
        self.warning = Line("warning")
        self.hint = Line()
        self.button = RunButton("Segment", _HELP, Task.SEGMENT)
        self.keep_button = QPushButton("Stop and keep")
        self.keep_button.setToolTip("Stop the run and keep what is finished as a label map.")
        self._lay_out()
        self.keep_button.clicked.connect(self.stop_and_keep_wanted)
        self.device.chosen.connect(self.device_chosen)
        self.quality.chosen.connect(lambda key: self.quality_chosen.emit(Quality(key)))
        self.form.changed.connect(self.options_chosen)
        events = state.events
        for signal in (events.options, events.quality, events.devices):
            signal.connect(self.refresh_options)
        for signal in (events.phase, events.volume_facts, events.checkpoint, events.volume):
            signal.connect(self.refresh_button)
        for signal in (events.checkpoint, events.volume_facts, events.options, events.devices):
            signal.connect(self.refresh_meanings)
        # another wish may cost the same
        for signal in (events.cost, events.options):
            signal.connect(self.refresh_cost)
        self.refresh_options()
        self.refresh_meanings()
        self.refresh_cost()

    def refresh_meanings(self, _: object = None) -> None:
        """Say what the options come to that are left to the checkpoint."""
        state = self._state
        card = state.checkpoint.card if state.checkpoint is not None else None
        facts = state.volume_facts
        said = card_values(card, facts.modality if facts is not None else "")
        said["precision"] = precision_value(state.options.device, state.devices)
        self.form.show_meanings(said)

    def refresh_cost(self, _: object = None) -> None:
        """Show what a run would cost."""
        cost = self._state.cost
        line = cost_line(cost) if cost is not None else ""
        if cost is not None and self._state.options.tta and cost.passes == 1:
            line += " · the checkpoint allows no mirroring"
        self.cost.show_text(line)
        self.button.say(f"{_HELP}\n{line}" if line else _HELP)
        self.refresh_button()

    def refresh_options(self) -> None:
        """Show what is chosen."""
        state = self._state
        devices = list(state.devices)
        if state.options.device not in {choice.key for choice in devices}:
            devices.append(Choice(state.options.device, state.options.device))
        self.device.show_choices(devices, state.options.device)
        shown = [q for q in Quality if q is not Quality.CUSTOM or state.quality is Quality.CUSTOM]
        self.quality.show_choices([Choice(q.value, q.value) for q in shown], state.quality.value)
        self.quality.setToolTip(QUALITY_HELP[state.quality])
        self.form.show_options(state.options)

    def refresh_button(self) -> None:
        """Show whether a run can start."""
        reason = why_not_segment(self._state)
        self.button.show_state(self._state, reason)
        state = self._state
        runs = state.task is Task.SEGMENT and state.phase is Phase.RUNNING
        self.keep_button.setVisible(runs and state.options.live)
        is_busy = self._state.phase.is_busy
        self.hint.show_text("" if is_busy else reason)
        self.warning.show_text("" if reason else fit_warning(self._state))

    def _lay_out(self) -> None:
        choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices.addRow("Device", self.device)
        choices.addRow("Quality", self.quality)
        bottom = QHBoxLayout()
        bottom.addStretch(1)
        bottom.addWidget(self.keep_button)
        bottom.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choices)
        for widget in (self.more, self.cost, self.warning, self.hint):
            layout.addWidget(widget)
        layout.addLayout(bottom)
