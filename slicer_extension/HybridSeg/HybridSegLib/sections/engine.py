"""The line that says that the engine is missing, and the button that installs it."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller


class EngineSection:
    """Shown only until the engine is installed."""

    def __init__(self, ui: Any, controller: Controller) -> None:
        self._ui = ui
        self._controller = controller
        ui.installButton.connect("clicked(bool)", lambda *_: controller.install())

    def refresh(self) -> None:
        """Show the state."""
        state = self._controller.state
        self._ui.installFrame.visible = not state.is_installed
        if state.obstacle:
            self._ui.installLine.text = state.obstacle
            self._ui.installButton.visible = False
