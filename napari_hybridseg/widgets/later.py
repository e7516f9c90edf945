"""Parts of the panel that are put together after it has opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from qtpy.QtCore import QTimer


class Closable(Protocol):
    """What follows the viewer or the engine until it is told not to."""

    def close(self) -> None:
        """Let go; may be called more than once."""


class Later:
    """Builds one thing at each turn of the event loop, so that none of the turns is long.

    Parameters
    ----------
    *builders : callable
        Each builds its thing, unless it is built already.
    """

    def __init__(self, *builders: Callable[[], object]) -> None:
        self._builders = list(builders)
        self._built: list[Closable] = []
        self._is_closed = False

    def start(self) -> None:
        """Build the next thing when nothing else is to be done, and so on."""
        if self._builders and not self._is_closed:
            QTimer.singleShot(0, lambda: self._go_on())

    def keep(self, part: Closable) -> None:
        """Close a part that was built together with this, the last one first."""
        self._built.insert(0, part)

    def close(self) -> None:
        """Build nothing more, and close what was built."""
        self._is_closed = True
        for part in self._built:
            part.close()

    def _go_on(self) -> None:
        if not self._is_closed:
            self._builders.pop(0)()
            self.start()
