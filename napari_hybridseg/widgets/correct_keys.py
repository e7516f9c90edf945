"""Letters that work in the viewer while a correction is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class CorrectKeys:
    """Binds letters, and gives them back; what the user bound to one is left alone.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    actions : mapping
        By letter what it does.
    """

    def __init__(self, viewer: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._viewer = viewer
        self._actions = dict(actions)
        self._bound: list[str] = []

    def bind(self) -> None:
        """Make the letters work."""
        if self._bound:
            return
        taken = {str(key) for key in self._viewer.keymap}
        for letter, act in self._actions.items():
            if letter not in taken:
                self._viewer.bind_key(letter, lambda _, act=act: act())
                self._bound.append(letter)

    def close(self) -> None:
        """Give the letters back."""
        for letter in self._bound:
            self._viewer.bind_key(letter, None)
        self._bound = []
