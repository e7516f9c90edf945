"""What the colours of an explanation are, written into the picture."""

from __future__ import annotations

from textwrap import fill
from typing import Any

_LETTERS = 62
_FONT_POINTS = 9


class ExplainCaption:
    """Writes what a layer shows, and its unit, below the picture for as long as it is seen.

    napari shortens long names in its list of layers, and its colour bars have no unit. What
    somebody else has written into the viewer's text stays.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Any = None
        self._text = ""
        viewer.layers.events.removed.connect(self._follow)

    def show(self, text: str, layer: Any) -> None:
        """Write what a layer shows, in place of what was written of another."""
        self.clear()
        overlay = self._viewer.text_overlay
        if overlay.text:
            return
        self._text, self._layer = fill(text, _LETTERS), layer
        overlay.text, overlay.position, overlay.box = self._text, "bottom_left", True
        overlay.font_size = _FONT_POINTS
        layer.events.visible.connect(self._follow)
        self._follow()

    def clear(self) -> None:
        """Take the words away."""
        if self._layer is not None:
            self._layer.events.visible.disconnect(self._follow)
        overlay = self._viewer.text_overlay
        if self._text and overlay.text == self._text:
            overlay.visible, overlay.text = False, ""
        self._layer, self._text = None, ""

    def close(self) -> None:
        """Follow the viewer no longer."""
        self.clear()
        self._viewer.layers.events.removed.disconnect(self._follow)

    def _follow(self, _: Any = None) -> None:
        if self._layer is None or self._viewer.text_overlay.text != self._text:
            return
        if self._layer not in self._viewer.layers:
            self.clear()
        else:
            self._viewer.text_overlay.visible = self._layer.visible
