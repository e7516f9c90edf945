"""Short work beside the GUI thread that is no job of the engine: hashes, journals, tools."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal


class Background(QObject):
    """Does one thing after the other in a thread; what follows happens in the GUI thread.

    ``complained`` is for what goes wrong in other threads meanwhile.

    Parameters
    ----------
    parent : QObject or None
    """

    complained = Signal(str)
    _ended = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hybridseg-correct")
        self._guard = threading.Lock()
        self._is_closed = False
        self._ended.connect(self._tell, Qt.ConnectionType.QueuedConnection)

    def do(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        otherwise: Callable[[BaseException], None],
    ) -> None:
        """Do some work; ``then`` gets what it gives, ``otherwise`` what it raises."""
        with self._guard:
            if self._is_closed:
                return
            future = self._pool.submit(work)
        future.add_done_callback(lambda done: self._pass_on(done, (then, otherwise)))

    def close(self) -> None:
        """Wait for what is under way, which may be somebody's work on its way to the disk."""
        with self._guard:
            self._is_closed = True
        self._pool.shutdown(wait=True)

    def _pass_on(self, future: Future[Any], follow_up: object) -> None:
        with self._guard:
            if not self._is_closed:
                self._ended.emit(future, follow_up)

    def _tell(self, future: Future[Any], follow_up: Any) -> None:
        if self._is_closed:
            return
        then, otherwise = follow_up
        error = future.exception()
        if error is None:
            then(future.result())
        else:
            otherwise(error)
