"""Choosing a voxel by a click into the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_SAME_PLACE_PX = 3.0


class VoxelPicker:
    """Hears clicks while it is started; a drag, which moves the picture, is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    on_pick : callable
        Gets the clicked point of the world, in the order of the viewer's axes.
    """

    def __init__(self, viewer: Any, on_pick: Callable[[Any], None]) -> None:
        self._viewer = viewer
        self._on_pick = on_pick
        self._is_on = False

    def start(self) -> None:
        """Hear clicks."""
        if not self._is_on:
            self._is_on = True
            self._viewer.mouse_drag_callbacks.append(self._on_mouse)

    def stop(self) -> None:
        """Hear none any more."""
        if self._is_on:
            self._is_on = False
            self._viewer.mouse_drag_callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: Any, event: Any) -> Iterator[None]:
        pressed_at, world = np.asarray(event.pos, dtype=float), tuple(event.position)
        yield
        while event.type == "mouse_move":
            yield
        moved = np.linalg.norm(np.asarray(event.pos, dtype=float) - pressed_at)
        if self._is_on and moved <= _SAME_PLACE_PX:
            self._on_pick(world)
