"""The checkpoint that is used, and what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.sections.shown import show_choices, show_line

_NOTHING = ""
_NO_CHECKPOINT = "no checkpoint was found"
_PURPOSE = "The trained network that is used."
_OPEN_ONE = "Open a checkpoint file with the button beside."


class CheckpointSection:
    """Lists the checkpoints that were found, opens others, shows the card."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        ui.checkpointBox.connect("activated(int)", self._on_chosen)
        ui.openCheckpointButton.connect("clicked(bool)", lambda *_: self.open_file())
        ui.cardButton.connect("clicked(bool)", lambda *_: self.show_card())

    def refresh(self) -> None:
        """Show the state."""
        ui, state = self._ui, self._controller.state
        facts = state.checkpoint
        known = state.checkpoints or ((_NOTHING, _NO_CHECKPOINT),)
        key = str(facts.path) if facts else _NOTHING
        show_choices(ui.checkpointBox, known, key)
        ui.checkpointBox.enabled = bool(state.checkpoints)
        ui.checkpointBox.toolTip = _PURPOSE if state.checkpoints else _OPEN_ONE
        has_card = facts is not None and facts.card is not None
        line = self._controller.bench.card_line(facts) if facts else ""
        show_line(ui.checkpointLine, line, is_error=facts is not None and not has_card)
        ui.openCheckpointButton.enabled = state.is_installed
        ui.cardButton.enabled = has_card
        ui.cardButton.toolTip = (
            "What this checkpoint is for, how good it is, whose it is."
            if has_card
            else "Choose a checkpoint first."
        )

    def open_file(self) -> None:
        """Take a checkpoint file from another folder."""
        path = self._dialogs.open_file(
            "Open a checkpoint", "checkpoint", "HybridSeg checkpoints (*.safetensors)"
        )
        if path is not None:
            self._controller.choosing.checkpoint(path)

    def show_card(self) -> None:
        """Open the model card."""
        facts = self._controller.state.checkpoint
        html = self._controller.bench.card_html(facts)
        self._dialogs.show_text(f"Model card: {facts.card.name}", html)

    def _on_chosen(self, index: int) -> None:
        self._controller.choosing.checkpoint(Path(self._ui.checkpointBox.itemData(index)))
