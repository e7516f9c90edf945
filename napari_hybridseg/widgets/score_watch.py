"""Noticing that labels are no longer what was scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_data import voxels_crc32

_QUIET_MS = 300


class ScoreWatch:
    """Follows the layers of one comparison.

    napari tells of strokes, but of undo and redo only that the layer is drawn anew, which it is
    when one scrolls, too. Once that has been quiet for a moment, the voxels' checksums decide.

    Parameters
    ----------
    book : LayerBook
    on_change : callable
        Called when that may have changed, with whether the layers were edited, and whether it is
        quiet now: during a stroke it is not.
    """

    def __init__(self, book: LayerBook, on_change: Callable[[bool, bool], None]) -> None:
        self._book = book
        self._checksums: dict[str, int] = {}
        self._on_change = on_change
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(lambda: on_change(self.is_edited(), True))

    def follow(self, checksums: Mapping[str, int]) -> None:
        """Follow other layers, given by their ids, whose voxels had these checksums."""
        self.close()
        self._checksums = dict(checksums)
        for layer in self._layers():
            layer.events.labels_update.connect(self._on_stroke)
            layer.events.set_data.connect(self._on_drawn)

    def is_edited(self) -> bool:
        """Say whether a layer that is still there holds other voxels now."""
        return any(
            voxels_crc32(np.asarray(layer.data)) != self._checksums[str(layer.unique_id)]
            for layer in self._layers()
        )

    def close(self) -> None:
        """Follow nothing any more."""
        self._timer.stop()
        for layer in self._layers():
            layer.events.labels_update.disconnect(self._on_stroke)
            layer.events.set_data.disconnect(self._on_drawn)
        self._checksums = {}

    def _layers(self) -> list[Any]:
        found = (self._book.find(key) for key in self._checksums)
        return [layer for layer in found if layer is not None]

    def _on_stroke(self, event: Any = None) -> None:
        self._on_change(True, False)
        self._timer.start()

    def _on_drawn(self, event: Any = None) -> None:
        self._timer.start()
