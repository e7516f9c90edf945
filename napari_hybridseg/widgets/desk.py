"""Where every section of the panel hands in its jobs, and hears what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hybridseg.engine.failures import details_for, sentence_for
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Note, Progress
from napari_hybridseg.widgets.jobs import JobRunner
from napari_hybridseg.widgets.report import Log
from napari_hybridseg.widgets.state import FaceState, Phase, Task

if TYPE_CHECKING:
    from napari_hybridseg.engine.jobs import Job


def _ignore(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Order:
    """A job, and what is to happen with what it says.

    Attributes
    ----------
    task : Task
        What the job is for; its section's button becomes 'Cancel'.
    job : Job
        What the engine is asked for.
    message : str
        What the status line says until the engine answers.
    on_done : callable
        Gets the result's value, once the desk is free again.
    on_event : callable
        Gets every event but the result; the desk shows progress and notes by itself.
    on_ended : callable
        Called when there will be no result: the job failed or was cancelled.
    """

    task: Task
    job: Job
    message: str
    on_done: Callable[[Any], None]
    on_event: Callable[[Event], None] = _ignore
    on_ended: Callable[[], None] = _ignore


class JobDesk:
    """Has one job done at a time and keeps the status line true meanwhile.

    Parameters
    ----------
    state : FaceState
    runner : JobRunner
    log : Log
    """

    def __init__(self, state: FaceState, runner: JobRunner, log: Log) -> None:
        self.log = log
        self._state = state
        self._runner = runner
        self._order: Order | None = None
        self._asides: list[tuple[Job, Callable[[Any], None]]] = []
        runner.happened.connect(self._on_event)
        runner.succeeded.connect(self._on_success)
        runner.failed.connect(self._on_failure)
        runner.cancelled.connect(self._on_cancelled)
        runner.logged.connect(log.add)

    def begin(self, order: Order) -> bool:
        """Start a job; where another one is under way, say so and give False."""
        try:
            self._runner.start(order.job)
        except HybridSegError as error:
            self.say(str(error))
            return False
        self._order = order
        self._state.task = order.task
        self._state.progress = Progress(order.message, 0, 0)
        self._state.message = order.message
        self._state.phase = Phase.RUNNING
        return True

    def aside(self, job: Job, on_done: Callable[[Any], None]) -> bool:
        """Ask for something short beside the user's jobs, which may keep them waiting a moment.

        Nothing is said of it, not even that it fails, except in the log. Where the engine is at
        work it is not done, and the answer is False.
        """
        try:
            self._runner.start(job, gives_way=True)
        except HybridSegError:
            return False
        self._asides.append((job, on_done))
        return True

    def cancel(self) -> None:
        """Stop the job."""
        if self._state.phase is Phase.RUNNING:
            self.say("Cancelling…", Phase.CANCELLING)
            self._runner.cancel()

    def finish(self) -> None:
        """Ask the job to end with what it has, where it can."""
        self._runner.finish()

    def pause(self, is_wanted: bool) -> None:
        """Let the job wait, or go on."""
        self._runner.pause(is_wanted)

    def say(self, message: str, phase: Phase | None = None) -> None:
        """Put a sentence into the status line and the log."""
        self.log.add(message)
        self._state.message = message
        if phase is not None:
            self._state.phase = phase

    def fail(self, error: BaseException) -> None:
        """Say what went wrong."""
        self.say(sentence_for(error), Phase.FAILED)
        if not isinstance(error, HybridSegError):
            self.log.add(details_for(error))

    def _on_event(self, job: Job, event: Event) -> None:
        order = self._order
        if order is None or job is not order.job:
            return
        if isinstance(event, Progress) and self._state.phase is Phase.RUNNING:
            self._state.progress = event
            self._state.message = event.stage
        elif isinstance(event, Note):
            self.say(event.message)
        order.on_event(event)

    def _on_success(self, job: Job, value: Any) -> None:
        order = self._finished(job)
        if order is not None:
            order.on_done(value)
            return
        on_done = self._finished_aside(job)
        if on_done is not None:
            on_done(value)

    def _on_failure(self, job: Job, error: BaseException) -> None:
        order = self._finished(job)
        if order is None:
            self._finished_aside(job)
            self.log.add(f"{job.kind}: {sentence_for(error)}")
            return
        order.on_ended()
        self.fail(error)

    def _on_cancelled(self, job: Job) -> None:
        order = self._finished(job)
        if order is None:
            self._finished_aside(job)
            return
        order.on_ended()
        if self._state.phase is Phase.CANCELLING:  # else something was kept, and that was said
            self.say("Cancelled; nothing was changed.", Phase.IDLE)

    def _finished(self, job: Job) -> Order | None:
        """Free the desk if this was its job."""
        order = self._order
        if order is None or job is not order.job:
            return None
        self._order = None
        self._state.progress = None
        return order

    def _finished_aside(self, job: Job) -> Callable[[Any], None] | None:
        for number, (asked, on_done) in enumerate(self._asides):
            if asked is job:
                del self._asides[number]
                return on_done
        return None
