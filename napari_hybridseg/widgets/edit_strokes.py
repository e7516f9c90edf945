"""The layer in which a user says what is wrong, and what its strokes say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import places_of
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.widgets.correct_session import Origin
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_geometry import METADATA_KEY

_BACKGROUND_COLOUR = "#f8f9fa"
_BRUSH = 3
_QUIET_MS = 150


class Statement(NamedTuple):
    """What a stroke says: 'is' or 'is not' an organ; organ 0 is background."""

    value: int
    organ: int
    is_not: bool
    text: str
    colour: str


def statements_of(scheme: LabelScheme) -> tuple[Statement, ...]:
    """List what can be said, each with the number that its strokes have in the layer."""
    said: list[Statement] = []
    for organ in scheme.organs:
        number = len(said) + 1
        said.append(Statement(number, organ.id, False, f"is {organ.name}", organ.colour))
        text = f"is not {organ.name}"
        said.append(Statement(number + 1, organ.id, True, text, _darker(organ.colour)))
    said.append(Statement(len(said) + 1, 0, False, "is background", _BACKGROUND_COLOUR))
    return tuple(said)


class StrokeLayer:
    """The strokes of one correction.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    origin : Origin
    placement : mapping
        Where the volume's layers lie.
    on_change : callable
        Called once strokes were drawn and it has been quiet for a moment.
    """

    def __init__(
        self,
        viewer: Any,
        book: LayerBook,
        origin: Origin,
        placement: Mapping[str, Any],
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._book = book
        self._origin = origin
        self._placement = dict(placement)
        self._key = ""
        self._spread: NDArray[np.int64] = np.zeros(0, np.int64)
        self.statements = statements_of(origin.scheme)
        self.count = self.fresh_count = 0
        self._on_change = on_change
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self.look)

    @property
    def layer(self) -> Any | None:
        """The layer, if anything was ever said and the user did not remove it."""
        return self._book.find(self._key) if self._key else None

    def begin(self, value: int) -> Any:
        """Have the user paint a statement; give the layer."""
        layer = self.layer or self._add()
        layer.selected_label = value
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        return layer

    def take_scheme(self, scheme: LabelScheme) -> None:
        """Know new organs; what was said already keeps its meaning."""
        known = {(said.organ, said.is_not): said for said in self.statements}
        fresh = [said for said in statements_of(scheme) if (said.organ, said.is_not) not in known]
        first = len(self.statements) + 1
        self.statements += tuple(s._replace(value=first + n) for n, s in enumerate(fresh))
        layer = self.layer
        if layer is not None:
            layer.colormap, layer.features = self._colours(), self._features()

    def strokes(self) -> tuple[Strokes, Strokes]:
        """Give all that was said, and what of it did not spread yet; canonical (Z, Y, X)."""
        voxels, values = self._voxels()
        is_fresh = ~np.isin(self._codes(voxels, values), self._spread)
        return self._said(voxels, values), self._said(voxels[is_fresh], values[is_fresh])

    def have_spread(self) -> None:
        """Count all strokes as spread; from now on they only keep their own voxels."""
        self._spread = self._codes(*self._voxels())
        self.look()

    def look(self) -> None:
        """Count the voxels of all strokes, and of the fresh ones."""
        voxels, values = self._voxels()
        counts = len(values), int((~np.isin(self._codes(voxels, values), self._spread)).sum())
        if counts != (self.count, self.fresh_count):
            self.count, self.fresh_count = counts
            self._on_change()

    def clear(self) -> None:
        """Forget what was said; napari's undo in the layer brings strokes back."""
        layer = self.layer
        if layer is not None:
            layer.data_setitem(np.nonzero(layer.data), 0)
        self._spread = np.zeros(0, np.int64)
        self.look()

    def close(self) -> None:
        """Remove the layer."""
        self._timer.stop()
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer.name)

    def _voxels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        layer = self.layer
        if layer is None:
            return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
        array = self._origin.grid.to_canonical(np.asarray(layer.data))
        voxels = places_of(array)
        values = array[tuple(voxels.T)].astype(np.int64)
        known = values <= len(self.statements)
        return voxels[known], values[known]

    def _codes(self, voxels: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        shape = self._origin.volume.geometry.shape
        return np.ravel_multi_index(tuple(voxels.T), shape) * 65536 + values

    def _said(self, voxels: NDArray[np.int64], values: NDArray[np.int64]) -> Strokes:
        return Strokes.join(
            (voxels[values == said.value], said.organ, said.is_not)
            for said in self.statements
            if (values == said.value).any()
        )

    def _add(self) -> Any:
        grid = self._origin.grid
        layer = self._viewer.add_labels(
            np.zeros(grid.shown.shape, np.uint16),
            name=f"{self._origin.title} · strokes",
            colormap=self._colours(),
            features=self._features(),
            metadata={METADATA_KEY: {"is_aid": True}},
            **self._placement,
        )
        layer.opacity = 1.0
        layer.brush_size = _BRUSH
        self._key = key_of(layer)
        layer.events.labels_update.connect(self._on_drawn)
        layer.events.set_data.connect(self._on_drawn)
        return layer

    def _on_drawn(self, event: Any = None) -> None:
        self._timer.start()

    def _colours(self) -> DirectLabelColormap:
        colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
        return DirectLabelColormap(
            color_dict=colours | {said.value: said.colour for said in self.statements}
        )

    def _features(self) -> dict[str, Any]:
        return {
            "index": np.array([0, *(said.value for said in self.statements)], dtype=int),
            "says": ["nothing", *(said.text for said in self.statements)],
        }


def _darker(colour: str) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{part * 2 // 5:02x}" for part in parts)
