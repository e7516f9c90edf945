"""The checkpoint that is used, and what its card says."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hybridseg.widgets.card_dialog import CardDialog
from napari_hybridseg.widgets.checkpoint_shelf import card_line
from napari_hybridseg.widgets.inputs import ChoiceBox, Line
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState


class CheckpointSection(QWidget):
    """Lists the checkpoints that were found, opens others, shows the card."""

    chosen = Signal(object)

    def __init__(self, state: FaceState, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._settings = settings
        self.choices = ChoiceBox("no checkpoint was found")
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip("Use a checkpoint file (.safetensors) from another folder.")
        self.card_button = QPushButton("Card")
        self.line = Line()
        top = QHBoxLayout()
        for widget in (self.choices, self.open_button, self.card_button):
            top.addWidget(widget)
        top.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.line)
        self.choices.chosen.connect(lambda key: self.chosen.emit(Path(key)))
        self.open_button.clicked.connect(self._ask_for_file)
        self.card_button.clicked.connect(self.show_card)
        for signal in (state.events.checkpoints, state.events.checkpoint):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state."""
        facts = self._state.checkpoint
        key = str(facts.path.resolve()) if facts else ""
        self.choices.show_choices(self._state.checkpoints, key)
        self.choices.setEnabled(bool(self._state.checkpoints))
        if not self._state.checkpoints:
            self.choices.setToolTip("Open a checkpoint file with the button beside.")
        is_bad = facts is not None and facts.card is None
        self.line.show_text(card_line(facts) if facts else "", "error" if is_bad else "quiet")
        has_card = facts is not None and facts.card is not None
        self.card_button.setEnabled(has_card)
        self.card_button.setToolTip(
            "What this checkpoint is for, how good it is, whose it is."
            if has_card
            else "Choose a checkpoint first."
        )

    def show_card(self) -> None:
        """Open the model card."""
        if self._state.checkpoint is not None:
            CardDialog(self._state.checkpoint, self).show()

    def _ask_for_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self,
            "Open a checkpoint",
            self._settings.folder("checkpoint"),
            "HybridSeg checkpoints (*.safetensors)",
        )
        if name:
            self._settings.set_folder("checkpoint", Path(name).parent)
            self.chosen.emit(Path(name))
