"""Running tasks on the engine, and telling the state how they go."""

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
        self._keeps = False
        self._shown = 0.0

    def start(self, task: Task, message: str) -> None:
        """Start a task."""
        self._task, self._keeps = task, False
        self._show(self._bench.Progress(message, 0, 0))
        can_keep = getattr(task, "can_keep", False)
        self._state.update(task=task.name, can_keep=can_keep, message=message, phase=Phase.RUNNING)
        self._next()

    def cancel(self) -> None:
        """Stop the task; the state says when it has."""
        if self._state.phase is Phase.RUNNING and self._task is not None:
            self._say("Cancelling…", Phase.CANCELLING)
            self._bench.engine.cancel()

    def stop_and_keep(self) -> None:
        """Stop the task, and put what is finished into the scene."""
        self._keeps = self._state.can_keep
        self.cancel()

    def drop(self) -> None:
        """Stop the task and forget it: what it works on is going away."""
        if self._task is not None:
            self._task = None
            self._bench.engine.cancel()
            self._say("Cancelled: the scene was closed.", Phase.IDLE)

    def on_event(self, event: Any) -> None:
        """Show an event of the running job."""
        assert self._task is not None
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
        assert self._task is not None
        try:
            self._task.take(value)
        except self._bench.Error as error:
            self._fail(error)
            return
        self._next()

    def on_failure(self, error: Exception) -> None:
        """Say why there is no result."""
        self._fail(error)

    def on_cancelled(self) -> None:
        """Say that the task was stopped; what is finished is kept, if that is wanted."""
        task: Any = self._task
        if self._keeps and task.keep():
            self._finish(task)
            return
        self._end()
        self._say("Cancelled; nothing was changed.", Phase.IDLE)

    def works_on(self, task: Task) -> bool:
        """Whether this is the task that is under way: one that was dropped is heard no more."""
        return self._task is task

    def _next(self) -> None:
        task = self._task
        if task is None:
            return
        try:
            job = task.next_job() if self._state.phase is Phase.RUNNING else None
            if job is not None:
                self._bench.engine.start(job, _Listener(self, task))
                return
        except self._bench.Error as error:
            self._fail(error)
            return
        if self._state.phase is Phase.CANCELLING:
            self.on_cancelled()
        else:
            self._finish(task)

    def _finish(self, task: Task) -> None:
        try:
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


class _Listener:
    """Passes on what a task's job says while the task is under way; see ``seams.JobListener``."""

    def __init__(self, runner: TaskRunner, task: Task) -> None:
        self._runner = runner
        self._task = task

    def on_event(self, event: Any) -> None:
        """Pass an event on."""
        if self._runner.works_on(self._task):
            self._runner.on_event(event)

    def on_success(self, value: Any) -> None:
        """Pass the result on."""
        if self._runner.works_on(self._task):
            self._runner.on_success(value)

    def on_failure(self, error: Exception) -> None:
        """Pass the failure on."""
        if self._runner.works_on(self._task):
            self._runner.on_failure(error)

    def on_cancelled(self) -> None:
        """Pass the cancelling on."""
        if self._runner.works_on(self._task):
            self._runner.on_cancelled()
