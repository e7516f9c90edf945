"""Work that takes seconds and touches nothing of Slicer, done while the window answers.

Slicer's event loop keeps Python's lock, so a thread alone would stand still while nobody clicks:
a timer lends it the lock for a moment, again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import qt

_EVERY_MS = 5
_LENT_S = 0.03


class Aside:
    """Does one thing at a time in a thread of its own, and tells of its end in the GUI's."""

    def __init__(self) -> None:
        self._future: Future[None] | None = None
        self._tell: Callable[[BaseException | None], None] = lambda error: None
        self._timer = qt.QTimer()
        self._timer.setInterval(_EVERY_MS)
        self._timer.connect("timeout()", self._on_tick)

    @property
    def is_busy(self) -> bool:
        """Whether something is being done."""
        return self._future is not None

    def start(self, work: Callable[[], Any], tell: Callable[[BaseException | None], None]) -> None:
        """Begin; ``tell`` is called with None in the end, or with what the work raised."""
        threads = ThreadPoolExecutor(max_workers=1)
        self._future, self._tell = threads.submit(work), tell
        threads.shutdown(wait=False)
        self._timer.start()

    def close(self) -> None:
        """Let what was begun come to its end; nobody is told."""
        self._timer.stop()
        future, self._future = self._future, None
        if future is not None:
            wait([future])

    def _on_tick(self) -> None:
        future = self._future
        if future is None or not wait([future], timeout=_LENT_S).done:
            return
        self._timer.stop()
        self._future = None
        self._tell(future.exception())
