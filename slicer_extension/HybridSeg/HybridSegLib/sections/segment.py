"""Running the checkpoint on the volume: device, quality, the other options, and the button."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.sections.options_form import OptionsForm
from HybridSegLib.sections.shown import show_choices, show_line, show_run_button
from HybridSegLib.state import Phase, fit_warning, why_not_segment

_CUSTOM = "custom"
_HELP = "Name the organs in this volume."


class SegmentSection:
    """Choices of a run, and the button that starts and stops it."""

    def __init__(self, ui: Any, controller: Controller) -> None:
        self._ui = ui
        self._controller = controller
        self.form: OptionsForm | None = None
        ui.deviceBox.connect("activated(int)", self._on_device)
        ui.qualityBox.connect("activated(int)", self._on_quality)
        ui.segmentButton.connect("clicked(bool)", lambda *_: self.press())
        ui.keepButton.connect("clicked(bool)", lambda *_: controller.stop_and_keep())

    def refresh(self) -> None:
        """Show the state."""
        ui, state = self._ui, self._controller.state
        for widget in (ui.deviceBox, ui.qualityBox, ui.moreOptions):
            widget.enabled = state.options is not None
        if state.options is not None:
            self._refresh_options()
        reason = why_not_segment(state)
        cost = self._cost_line()
        show_line(ui.costLine, cost)
        help_text = f"{_HELP}\n{cost}" if cost else _HELP
        show_run_button(ui.segmentButton, "Segment", help_text, "segment", state, reason)
        runs = state.task == "segment" and state.phase is Phase.RUNNING
        ui.keepButton.visible = runs and state.can_keep
        show_line(ui.segmentHint, "" if state.phase.is_busy else reason)
        show_line(ui.fitWarning, "" if reason else fit_warning(state))

    def _cost_line(self) -> str:
        controller, state = self._controller, self._controller.state
        if state.cost is None:
            return ""
        is_each = state.has_frames and controller.parameters.all_frames
        return ("each frame: " if is_each else "") + str(controller.bench.cost_line(state.cost))

    def press(self) -> None:
        """Start, or stop what runs."""
        controller = self._controller
        (controller.cancel if controller.state.phase.is_busy else controller.segment)()

    def _refresh_options(self) -> None:
        ui, state = self._ui, self._controller.state
        devices = list(state.devices)
        if state.options.device not in dict(devices):
            devices.append((state.options.device, state.options.device))
        show_choices(ui.deviceBox, devices, state.options.device)
        shown = [name for name in state.qualities if name != _CUSTOM or state.quality == _CUSTOM]
        show_choices(ui.qualityBox, [(name, name) for name in shown], state.quality)
        ui.qualityBox.toolTip = state.qualities.get(state.quality, "")
        if self.form is None:
            self.form = OptionsForm(ui.optionsForm, type(state.options), leave_out=("device",))
            self.form.changed.connect(self._controller.choosing.options)
        self.form.show_options(state.options)

    def _on_device(self, index: int) -> None:
        self._controller.choosing.device(self._ui.deviceBox.itemData(index))

    def _on_quality(self, index: int) -> None:
        self._controller.choosing.quality(self._ui.qualityBox.itemData(index))
