"""The layers of a correction: the network's, locked; the working one; what was edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.boxes import Box
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.correct_session import WHOLE, CorrectionSession, Origin
from napari_hybridseg.widgets.edit_boxes import box_to_layer
from napari_hybridseg.widgets.label_appearance import label_look
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import result_layer
from napari_hybridseg.widgets.layer_geometry import METADATA_KEY, plain_metadata

ROLE = "role"
CORRECTION, ACCEPTED = "correction", "accepted"
_OUTLINE_COLOUR = "#ffd43b"
_MS_BETWEEN_DRAWINGS = 150


def role_of(layer: Any) -> str:
    """Say what a layer is in a correction: ``correction``, ``accepted`` or nothing."""
    return str(plain_metadata({"metadata": layer.metadata}).get(ROLE, ""))


def lock(layer: Any) -> None:
    """Hide a layer and let nobody paint in it."""
    layer.editable = False
    layer.visible = False


def add_working(viewer: Any, origin: Origin, placement: Mapping[str, Any], labels: LabelMap) -> Any:
    """Add the layer that is painted in."""
    about: dict[str, Any] = {ROLE: CORRECTION, "volume": origin.volume_key}
    if origin.card is not None:
        about["checkpoint"] = origin.card.name
    data, attributes, _ = result_layer(
        labels, origin.grid, placement, name=f"{origin.title} · correction", made_from=about
    )
    if np.shares_memory(data, labels.array):
        data = data.copy()
    layer = viewer.add_labels(data, **attributes)
    first = origin.scheme.ids[:1]
    layer.selected_label = first[0] if first else 1
    viewer.layers.selection.active = layer
    return layer


def accepted(layer: Any, title: str, case: str) -> None:
    """Make the working layer the accepted one."""
    layer.metadata = {
        **layer.metadata,
        METADATA_KEY: {**plain_metadata({"metadata": layer.metadata}), ROLE: ACCEPTED},
    }
    layer.name = f"{title} · accepted ({case})"
    layer.editable = False


def show_scheme(layer: Any, scheme: LabelScheme) -> None:
    """Let a layer know new organs."""
    about = plain_metadata({"metadata": layer.metadata})
    about["scheme"] = scheme.model_dump(mode="json")
    layer.metadata = {**layer.metadata, METADATA_KEY: about}
    look = label_look(scheme)
    layer.colormap, layer.features = look["colormap"], look["features"]


class EditedOutline:
    """Draws the border of what was edited.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    session : CorrectionSession
    placement : mapping
    """

    def __init__(
        self, viewer: Any, book: LayerBook, session: CorrectionSession, placement: Mapping[str, Any]
    ) -> None:
        self._viewer = viewer
        self._book = book
        self._session = session
        grid, title = session.origin.grid, session.origin.title
        chosen = list(viewer.layers.selection)
        layer = viewer.add_labels(
            np.ascontiguousarray(grid.to_layer(session.edited().astype(np.uint8))),
            name=f"{title} · edited",
            colormap=DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", 1: _OUTLINE_COLOUR}
            ),
            metadata={METADATA_KEY: {"is_aid": True}},
            **placement,
        )
        layer.contour = 1
        layer.editable = False
        self.key = key_of(layer)
        viewer.layers.selection = set(chosen)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MS_BETWEEN_DRAWINGS)
        self._timer.timeout.connect(self._draw)

    @property
    def layer(self) -> Any | None:
        """Its layer, unless the user removed it."""
        return self._book.find(self.key)

    def follow(self, box: Box = WHOLE) -> None:
        """Take over what changed in a canonical box."""
        layer = self.layer
        if layer is None:
            return
        grid = self._session.origin.grid
        place = WHOLE if box is WHOLE else box_to_layer(grid, box)
        layer.data[place] = grid.to_layer(self._session.edited(box).astype(np.uint8))
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Remove the layer."""
        self._timer.stop()
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer.name)

    def _draw(self) -> None:
        layer = self.layer
        if layer is not None:
            layer.refresh(extent=False)
