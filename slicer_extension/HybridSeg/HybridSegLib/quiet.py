"""Hearing only how something in the background ended; see ``seams.JobListener``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class QuietListener:
    """Takes a job's result, or hears why there is none; shows nothing meanwhile.

    Parameters
    ----------
    on_success : callable
        Gets the result.
    on_failure : callable
        Gets the error.
    on_cancelled : callable
        Called when something more important came.
    """

    def __init__(
        self,
        on_success: Callable[[Any], None],
        on_failure: Callable[[Exception], None],
        on_cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_success = on_success
        self.on_failure = on_failure
        self.on_cancelled = on_cancelled

    def on_event(self, event: Any) -> None:
        """Nothing is shown of it."""
