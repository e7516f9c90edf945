"""Noticing what is painted, undone and redone in a working layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.boxes import Box
from napari_hybridseg.widgets.correct_session import WHOLE, CorrectionSession
from napari_hybridseg.widgets.edit_boxes import box_drawn, box_to_canonical, displayed_axes

_QUIET_MS = 150


class EditWatch:
    """Lets a session look where something was drawn.

    napari tells of strokes box by box, but of undo and redo only that the layer is drawn anew,
    which it is when one scrolls, too; once that has been quiet for a moment, all is looked at.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    layer : napari.layers.Labels
    session : CorrectionSession
    on_change : callable
        Gets the canonical box in which voxels changed.
    limit : callable
        Gets the canonical box of a stroke before anything else does, and may take parts of the
        stroke back.
    """

    def __init__(
        self,
        viewer: Any,
        layer: Any,
        session: CorrectionSession,
        on_change: Callable[[Box], None],
        limit: Callable[[Box], None],
    ) -> None:
        self._viewer = viewer
        self._layer = layer
        self._session = session
        self._on_change = on_change
        self._limit = limit
        self._is_limiting = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self.look)
        # last, so that the canvas has drawn the stroke before parts of it are taken back
        layer.events.labels_update.connect(self._on_stroke, position="last")
        layer.events.set_data.connect(self._on_drawn)

    def close(self) -> None:
        """Follow the layer no longer."""
        self._timer.stop()
        self._layer.events.labels_update.disconnect(self._on_stroke)
        self._layer.events.set_data.disconnect(self._on_drawn)

    def look(self, box: Box = WHOLE) -> None:
        """Look for changes now."""
        where = self._session.look(box)
        if where is not None:
            self._on_change(where)

    def _on_stroke(self, event: Any) -> None:
        if self._is_limiting:
            return
        layer = self._layer
        drawn = box_drawn(layer.data.shape, displayed_axes(self._viewer), event)
        if any(part.stop <= part.start for part in drawn):
            return
        box = box_to_canonical(self._session.origin.grid, drawn)
        self._is_limiting = True
        try:
            self._limit(box)
        finally:
            self._is_limiting = False
        self.look(box)

    def _on_drawn(self, event: Any = None) -> None:
        self._timer.start()
