"""Placing a point by a click into a view, with Slicer's own means."""

from __future__ import annotations

from typing import Any

import slicer


class MarkupsPlacing:
    """Slicer's place mode for one point; see ``seams.Placing``."""

    def start(self, node: Any) -> None:
        """Have the next click add a point to a Markups node."""
        logic = slicer.modules.markups.logic()
        logic.SetActiveList(node)
        logic.StartPlaceMode(False)

    def stop(self) -> None:
        """Let clicks be clicks again."""
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
