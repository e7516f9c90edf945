"""The result of a run while it grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from qtpy.QtCore import QTimer

from napari_hybridseg.events import Event, RegionDone
from napari_hybridseg.inference.partial import PartialLabels
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.label_appearance import label_look
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_geometry import METADATA_KEY
from napari_hybridseg.widgets.state import CheckpointFacts
from napari_hybridseg.widgets.tasks import SegmentTask

_MS_BETWEEN_DRAWINGS = 200


class LiveResult:
    """Draws finished parts of a run into a layer of its own.

    When the run ends the layer is given to the result, or goes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    task : SegmentTask
    checkpoint : CheckpointFacts
        With a card.
    """

    def __init__(
        self, viewer: Any, book: LayerBook, task: SegmentTask, checkpoint: CheckpointFacts
    ) -> None:
        assert checkpoint.card is not None
        self._viewer = viewer
        self._book = book
        self._task = task
        self._scheme = checkpoint.card.labels
        self._parts = PartialLabels(task.job.volume, self._scheme, self._room)
        self._key = ""
        self._is_adding = False
        self._is_over = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MS_BETWEEN_DRAWINGS)
        self._timer.timeout.connect(self._draw)

    def on_event(self, event: Event) -> None:
        """Take a finished part."""
        if self._is_over or not isinstance(event, RegionDone):
            return
        self._parts.take(event)
        if self._is_adding:  # napari lets events through while it adds a layer
            return
        if not self._key:
            self._is_adding = True
            self._add_layer()
            self._is_adding = False
        elif not self._timer.isActive():
            self._timer.start()

    def finished(self) -> LabelMap | None:
        """Give what is finished so far, if anything is."""
        return self._parts.label_map() if self._parts.part > 0 else None

    def give_layer(self) -> Any | None:
        """End, and give the layer away, if it is there."""
        layer = self._layer()
        self._key = ""
        self.end()
        return layer

    def end(self) -> None:
        """Draw no more, and remove the layer if it was not given away."""
        self._is_over = True
        self._timer.stop()
        self._remove_layer()

    def _remove_layer(self) -> None:
        layer = self._layer()
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _layer(self) -> Any | None:
        return self._book.find(self._key) if self._key else None

    def _room(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Make room in the layer's own order, which is quicker to draw and to paint in."""
        grid = self._task.grid
        like = np.broadcast_to(np.zeros((), dtype), shape)
        return grid.to_canonical(np.zeros(grid.to_layer(like).shape, dtype))

    def _add_layer(self) -> None:
        chosen = list(self._viewer.layers.selection)
        layer = self._viewer.add_labels(
            self._task.grid.to_layer(self._parts.array),
            name=f"{self._task.volume_name} · {self._task.checkpoint} (running)",
            metadata={METADATA_KEY: {"is_aid": True}},
            **(dict(self._task.placement) | label_look(self._scheme)),
        )
        layer.editable = False
        self._key = key_of(layer)
        if self._is_over:  # the run ended while napari drew the layer
            self._remove_layer()
        self._viewer.layers.selection = set(chosen)

    def _draw(self) -> None:
        layer = self._layer()
        if layer is not None:  # the user may have removed it; the run goes on
            layer.refresh(extent=False)
