"""The volume that is looked at: which layer, and what its grid is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hybridseg.widgets.inputs import ChoiceBox, Line
from napari_hybridseg.widgets.state import FaceState


class VolumeSection(QWidget):
    """Lists the viewer's volumes and describes the chosen one."""

    chosen = Signal(str)

    def __init__(self, state: FaceState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.choices = ChoiceBox("no volume is open")
        self.line = Line()
        self.notes = Line("warning")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.choices, self.line, self.notes):
            layout.addWidget(widget)
        self.choices.chosen.connect(self.chosen)
        for signal in (state.events.volumes, state.events.volume, state.events.volume_facts):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state."""
        state = self._state
        self.choices.show_choices(state.volumes, state.volume)
        self.choices.setEnabled(bool(state.volumes))
        if not state.volumes:
            hint = "Drop a scan (.nii.gz, .nrrd, .mha) into the window, or File › Open Sample."
            self.choices.setToolTip(hint)
            self.line.show_text(hint)
            self.notes.show_text("")
            return
        facts = state.volume_facts
        self.line.show_text(facts.line if facts else "")
        self.notes.show_text((facts.problem or "\n".join(facts.notes)) if facts else "")
