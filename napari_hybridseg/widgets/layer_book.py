"""Which layers can be a volume, a label map or a reference, and finding them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Image, Labels

from napari_hybridseg.widgets.label_names import LABEL_WORDS, words_of
from napari_hybridseg.widgets.layer_geometry import plain_metadata
from napari_hybridseg.widgets.state import Choice


class LayerBook:
    """Follows a viewer's layer list.

    Layers are named by their unique ids, so that renaming one is no change.
    """

    def __init__(self, viewer: Any, on_change: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_change = on_change
        events = viewer.layers.events
        for signal in (events.inserted, events.removed, events.renamed, events.reordered):
            signal.connect(self._changed)

    def close(self) -> None:
        """Follow the layer list no longer."""
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.renamed, events.reordered):
            signal.disconnect(self._changed)

    @property
    def layers(self) -> list[Any]:
        """All layers, the top one last."""
        return list(self._viewer.layers)

    def volumes(self) -> tuple[Choice, ...]:
        """List the image layers, the top one first; a photograph is one slice."""
        return tuple(
            Choice(key_of(layer), layer.name)
            for layer in reversed(self.layers)
            if isinstance(layer, Image) and not is_aid(layer)
        )

    def label_maps(self) -> tuple[Choice, ...]:
        """List the Labels layers that have three axes, the top one first."""
        return tuple(
            Choice(key_of(layer), layer.name)
            for layer in reversed(self.layers)
            if isinstance(layer, Labels) and layer.ndim == 3 and not is_aid(layer)
        )

    def find(self, key: str) -> Any | None:
        """Give the layer of an id, or None if it is gone."""
        return next((layer for layer in self.layers if key_of(layer) == key), None)

    def likely_reference(self, volume: str) -> str:
        """Guess which layer is the reference of a volume, by its name; empty if none is.

        What a network made is no reference.
        """
        layer = self.find(volume)
        start = words_of(layer.name) if layer is not None else []
        if not start:
            return ""
        for choice in self.label_maps():
            words = words_of(choice.text)
            is_named_after = words[: len(start)] == start
            is_called_so = not LABEL_WORDS.isdisjoint(words[len(start) :])
            if is_named_after and is_called_so and not _is_result(self.find(choice.key)):
                return choice.key
        return ""

    def _changed(self, event: Any = None) -> None:
        self._on_change()


def is_aid(layer: Any) -> bool:
    """Whether a layer was drawn by this plugin to show something, and is no label map."""
    return bool(plain_metadata({"metadata": layer.metadata}).get("is_aid"))


def _is_result(layer: Any) -> bool:
    return "checkpoint" in plain_metadata({"metadata": layer.metadata})


def key_of(layer: Any) -> str:
    """Give the id of a layer, which stays when it is renamed."""
    return str(layer.unique_id)
