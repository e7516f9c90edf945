"""The layer in which a user says what is wrong, and what its strokes say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Labels, places_of
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
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
    on_drawn : callable
        Called at once when strokes may be others than before, with every touch of the brush.
    """

    def __init__(
        self,
        viewer: Any,
        book: LayerBook,
        origin: Origin,
        placement: Mapping[str, Any],
        on_change: Callable[[], None],
        on_drawn: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._book = book
        self._origin = origin
        self._placement = dict(placement)
        self._key = ""
        self._array: Labels | None = None
        self._spread: NDArray[np.int64] = np.zeros(0, np.int64)
        self._seen: NDArray[np.int64] | None = None
        self.statements = statements_of(origin.scheme)
        self.count = self.fresh_count = 0
        self._on_change = on_change
        self._on_drawn = on_drawn
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self.look)
        viewer.layers.events.removed.connect(self._on_removed)

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
        self._follow_layer()
        kept = self.kept()
        said, is_fresh = kept.strokes, ~kept.has_spread
        fresh = Strokes(said.voxels[is_fresh], said.labels[is_fresh], said.is_not[is_fresh])
        return said, fresh

    def kept(self) -> KeptStrokes:
        """Give all that was said and what of it did spread, for an autosave; from any thread."""
        array, spread, statements = self._array, self._spread, self.statements
        voxels, values = self._voxels(array, len(statements))
        organs = np.array([0, *(said.organ for said in statements)], np.uint16)
        is_not = np.array([False, *(said.is_not for said in statements)])
        strokes = Strokes(voxels, organs[values], is_not[values])
        return KeptStrokes(strokes, np.isin(self._codes(voxels, values), spread))

    def take(self, kept: KeptStrokes) -> None:
        """Show strokes that an autosave kept; the layer that is chosen stays so."""
        said = kept.strokes
        if not len(said):
            return
        chosen = list(self._viewer.layers.selection)
        layer = self.layer or self._add()
        value_of = {(s.organ, s.is_not): s.value for s in self.statements}
        pairs = zip(said.labels.tolist(), said.is_not.tolist(), strict=True)
        values = np.array([value_of.get(pair, 0) for pair in pairs], np.int64)
        voxels = said.voxels.astype(np.int64)
        self._origin.grid.to_canonical(layer.data)[tuple(voxels.T)] = values
        layer.refresh()
        self._spread = self._codes(voxels[kept.has_spread], values[kept.has_spread])
        self._viewer.layers.selection = set(chosen)
        self.look()

    def have_spread(self) -> None:
        """Count all strokes as spread; from now on they only keep their own voxels."""
        self._follow_layer()
        self._spread = self._codes(*self._voxels(self._array, len(self.statements)))
        self.look()

    def look(self) -> None:
        """Count the voxels of all strokes, and of the fresh ones."""
        self._follow_layer()
        codes = self._codes(*self._voxels(self._array, len(self.statements)))
        has_spread = np.isin(codes, self._spread)
        seen = codes * 2 + has_spread
        if self._seen is None or not np.array_equal(seen, self._seen):
            self._seen = seen
            self._on_drawn()
        counts = len(codes), int((~has_spread).sum())
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

    def stop(self) -> None:
        """Follow the layer no longer; what was said last is still known."""
        self._timer.stop()
        with suppress(ValueError, RuntimeError):
            self._viewer.layers.events.removed.disconnect(self._on_removed)

    def close(self) -> None:
        """Stop, and remove the layer."""
        self.stop()
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer.name)

    def _follow_layer(self) -> None:
        """Know the layer's array, which somebody may have exchanged, or removed with the layer."""
        layer = self.layer
        if layer is None:
            self._array, self._spread = None, np.zeros(0, np.int64)
        else:
            self._array = self._origin.grid.to_canonical(np.asarray(layer.data))

    @staticmethod
    def _voxels(array: Labels | None, largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if array is None:
            return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
        voxels = places_of(array)
        values = array[tuple(voxels.T)].astype(np.int64)
        known = (values > 0) & (values <= largest)  # 0: erased since
        return voxels[known], values[known]

    def _codes(self, voxels: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        shape = self._origin.volume.geometry.shape
        return np.ravel_multi_index(tuple(voxels.T), shape) * 65536 + values

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
        self._follow_layer()
        layer.events.labels_update.connect(self._on_stroke)
        layer.events.set_data.connect(self._on_redrawn)
        return layer

    def _on_stroke(self, event: Any = None) -> None:
        self._seen = None  # it may be saved, and undone, before it is looked at
        self._on_drawn()
        self._timer.start()

    def _on_redrawn(self, event: Any = None) -> None:
        self._timer.start()

    def _on_removed(self, event: Any = None) -> None:
        """Forget what was said once the user removed its layer alone, and not the correction."""
        if self._array is not None and self.layer is None:
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
