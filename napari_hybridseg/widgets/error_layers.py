"""What is wrong, drawn into the volume: too much, missing, and the distance that HD95 is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_hybridseg.metrics.error_places import ERROR_SCHEME, Errors
from napari_hybridseg.widgets.label_appearance import label_look
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_geometry import METADATA_KEY, grid_of_layer, placement_of

OVERLAY_NAME = "errors"
LINES_NAME = "HD95"
_LINE_COLOUR = "#ffd43b"
_LINE_WIDTH = 0.75  # voxels of the reference


class ErrorLayers:
    """Keeps one overlay and one layer of lines in a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    """

    def __init__(self, viewer: Any, book: LayerBook) -> None:
        self._viewer = viewer
        self._book = book
        self._keys: list[str] = []

    @property
    def are_shown(self) -> bool:
        """Whether any of them is in the viewer."""
        return any(self._book.find(key) is not None for key in self._keys)

    def show(self, errors: Errors, reference: str, name_of: Callable[[int], str]) -> None:
        """Draw errors that were found against a reference layer, in place of the last ones."""
        self.remove()
        layer = self._book.find(reference)
        if layer is None:
            return
        grid = grid_of_layer(layer, self._book.layers)
        chosen = list(self._viewer.layers.selection)
        placement = placement_of(layer)
        look = label_look(ERROR_SCHEME) | {"opacity": 0.8}
        overlay = self._viewer.add_labels(
            np.ascontiguousarray(grid.to_layer(errors.overlay.array)),
            name=OVERLAY_NAME,
            metadata={METADATA_KEY: {"is_aid": True}},
            **placement,
            **look,
        )
        overlay.editable = False
        self._keys = [key_of(overlay)]
        lines = [(p, p.hd95) for p in errors.places if p.hd95 and p.hd95.length_mm > 0]
        if lines:
            ends = [grid.points_to_layer(np.array([at.start, at.end])) for _, at in lines]
            drawn = self._viewer.add_shapes(
                ends,
                shape_type="line",
                name=LINES_NAME,
                edge_color=_LINE_COLOUR,
                edge_width=_LINE_WIDTH,
                features={"organ": [name_of(p.label) for p, _ in lines]},
                text={
                    "string": [f"{at.length_mm:.1f} mm" for _, at in lines],
                    "color": _LINE_COLOUR,
                    "size": 10,
                    "anchor": "upper_left",
                },
                metadata={METADATA_KEY: {"is_aid": True}},
                **placement,
            )
            self._keys.append(key_of(drawn))
        self._viewer.layers.selection = set(chosen)

    def remove(self) -> None:
        """Take them out of the viewer."""
        for key in self._keys:
            layer = self._book.find(key)
            if layer is not None:
                self._viewer.layers.remove(layer)
        self._keys = []
