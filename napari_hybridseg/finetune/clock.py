"""Time that a job really works, and the wish to end it early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

StopAsked = Callable[[], bool]


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


@dataclass
class BusyClock:
    """Counts seconds, except while it is paused: a job that waits spends none of its budget.

    Attributes
    ----------
    limit_s : float or None
        The job's budget.
    before_s : float
        What an interrupted run of the same job spent already.
    """

    limit_s: float | None = None
    before_s: float = 0.0
    _since: float | None = field(default_factory=time.monotonic)
    _counted: float = 0.0

    @property
    def seconds(self) -> float:
        """What was spent until now."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self.before_s + self._counted + running

    @property
    def left_s(self) -> float | None:
        """What is left of the budget; None without one."""
        return None if self.limit_s is None else self.limit_s - self.seconds

    def pause(self) -> None:
        """Stop counting."""
        if self._since is not None:
            self._counted += time.monotonic() - self._since
            self._since = None

    def resume(self) -> None:
        """Count again."""
        if self._since is None:
            self._since = time.monotonic()
