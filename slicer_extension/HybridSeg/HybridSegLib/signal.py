"""A signal of our own: PythonQt cannot declare one, and tests need no Qt for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls whoever has connected, in the order of connecting."""

    def __init__(self) -> None:
        self._listeners: list[Callable[..., Any]] = []

    def connect(self, listener: Callable[..., Any]) -> None:
        """Have a listener called from now on."""
        self._listeners.append(listener)

    def disconnect(self, listener: Callable[..., Any]) -> None:
        """Leave a listener alone from now on."""
        self._listeners.remove(listener)

    def emit(self, *values: Any) -> None:
        """Call all listeners."""
        for listener in list(self._listeners):
            listener(*values)
