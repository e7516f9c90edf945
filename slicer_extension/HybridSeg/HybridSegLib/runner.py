"""Running tasks on the engine, and telling the state how they go; see ``seams.JobListener``."""

from __future__ import annotations

import time
from typing import Any

from HybridSegLib.log import Log
from HybridSegLib.seams import Task
from HybridSegLib.signal import Signal
from HybridSegLib.state import PanelState, Phase

_SECONDS_BETWEEN_PROGRESS = 0.05


class TaskRunner:
    """Runs one task at a time; ``finished`` is emitted with a task that ended well.

    Parameters
    ----------
    bench : Bench
    state : PanelState
    log : Log
    """

    def __init__(self, bench: Any, state: PanelState, log: Log) -> None:
        self.finished = Signal()
        self._bench = bench
        self._state = state
        self._log = log
        self._task: Task | None = None
        self._shown = 0.0

    def start(self, task: Task, message: str) -> None:
        """Start a task."""
        self._task = task
        self._show(self._bench.Progress(message, 0, 0))
        self._state.update(task=task.name, message=message, phase=Phase.RUNNING)
        self._next()

    def cancel(self) -> None:
        """Stop the task; the state says when it has."""
        if self._state.phase is Phase.RUNNING and self._task is not None:
            self._say("Cancelling…", Phase.CANCELLING)
            self._bench.engine.cancel()

    def drop(self) -> None:
        """Stop the task and forget it: what it works on is going away."""
        if self._task is not None:
            self._task = None
            self._bench.engine.cancel()
            self._say("Cancelled: the scene was closed.", Phase.IDLE)

    def on_event(self, event: Any) -> None:
        """Show an event of the running job."""
        if self._task is None:
            return
        event = self._task.hear(event)
        if isinstance(event, self._bench.Progress):
            now = time.monotonic()
            is_last = event.done >= event.total
            if is_last or now - self._shown >= _SECONDS_BETWEEN_PROGRESS:
                self._shown = now
                self._show(event)
        elif isinstance(event, self._bench.Note):
            self._log.add(event.message)
            self._state.update(message=event.message)

    def on_success(self, value: Any) -> None:
        """Take a job's result, and go on with the next job."""
        if self._task is None:
            return
        try:
            self._task.take(value)
        except self._bench.Error as error:
            self._fail(error)
            return
        self._next()

    def on_failure(self, error: Exception) -> None:
        """Say why there is no result."""
        if self._task is not None:
            self._fail(error)

    def on_cancelled(self) -> None:
        """Say that the task was stopped."""
        if self._task is not None:
            self._end()
            self._say("Cancelled; nothing was changed.", Phase.IDLE)

    def _next(self) -> None:
        task = self._task
        if task is None:
            return
        try:
            job = task.next_job() if self._state.phase is Phase.RUNNING else None
            if job is not None:
                self._bench.engine.start(job, self)
                return
            if self._state.phase is Phase.CANCELLING:
                self.on_cancelled()
                return
            sentence = task.finish()
        except self._bench.Error as error:
            self._fail(error)
            return
        self._end()
        self._say(sentence, Phase.DONE)
        self.finished.emit(task)

    def _show(self, progress: Any) -> None:
        self._state.update(progress=progress, progress_line=self._bench.progress_line(progress))

    def _fail(self, error: Exception) -> None:
        self._end()
        self._say(self._bench.sentence_for(error), Phase.FAILED)
        for text in (self._bench.details_for(error), getattr(error, "details", "")):
            if text:
                self._log.add(text)

    def _end(self) -> None:
        self._task = None
        self._state.update(progress=None, progress_line="")

    def _say(self, message: str, phase: Phase) -> None:
        self._log.add(message)
        self._state.update(message=message, phase=phase)
