"""Running the engine's jobs beside the GUI thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Qt, Signal

from napari_hybridseg.engine.failures import sentence_for
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Progress, Result

if TYPE_CHECKING:
    from napari_hybridseg.engine.jobs import Job

_SECONDS_BETWEEN_PROGRESS = 0.05


class Engine(Protocol):
    """What the face needs of the engine; see ``engine.EngineClient``."""

    def run(self, job: Job) -> Iterator[Event]:
        """Do a job; the last event is its ``Result``."""
        ...

    def cancel(self) -> None:
        """Stop the running job; from any thread."""
        ...

    def finish(self) -> None:
        """Ask the running job to end with what it has."""
        ...

    def pause(self) -> None:
        """Let the running job wait."""
        ...

    def go_on(self) -> None:
        """Let a paused job go on."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


class JobRunner(QObject):
    """Runs one job at a time on an engine that is started when it is first needed.

    Signals arrive in the GUI thread and name the job first. A started job ends with exactly one
    of ``succeeded`` (with the result's value), ``failed`` (with the exception) and ``cancelled``.
    ``logged`` passes on every line that the engine prints, job or not.

    Parameters
    ----------
    make_engine : callable
        Gets what the engine is to call, from any thread, with every line that it prints.
    parent : QObject or None
    """

    happened = Signal(object, object)
    succeeded = Signal(object, object)
    failed = Signal(object, object)
    cancelled = Signal(object)
    logged = Signal(str)
    _heard = Signal(str)

    def __init__(
        self,
        make_engine: Callable[[Callable[[str], None]], Engine],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._heard.connect(self._on_heard, Qt.ConnectionType.QueuedConnection)
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._worker: _EngineWorker | None = None
        self._waiting: Job | None = None
        self._is_closed = False

    def start(self, job: Job, *, gives_way: bool = False) -> None:
        """Start a job, after the running one if that is one that gives way.

        Parameters
        ----------
        job : Job
        gives_way : bool
            Whether this is something short on the side: it starts only where nothing else is
            under way, and the next job waits for it.

        Raises
        ------
        HybridSegError
            If another job is running or waiting.
        """
        if self._is_closed:
            return
        if self._worker is not None:
            if gives_way or self._waiting is not None or not self._worker.gives_way:
                raise HybridSegError("Another job is running; wait for it or cancel it.")
            self._waiting = job
            if not self._worker.job.helps(job):
                self._worker.quit()
            return
        if self._engine is None:
            self._engine = self._make_engine(self._hear)
        stop = Stop(self._engine)
        worker: _EngineWorker = create_worker(
            job_events,
            self._engine,
            job,
            stop,
            _start_thread=False,
            _ignore_errors=True,
            _worker_class=_EngineWorker,
        )
        worker.job = job
        worker.gives_way = gives_way
        worker.stop = stop
        worker.yielded.connect(self._on_event)
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Ask the job to stop; ``cancelled`` follows once it has."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self.cancelled.emit(waiting)
        elif self._worker is not None:
            self._worker.quit()

    def finish(self) -> None:
        """Ask the job to end with what it has; its result comes then."""
        if self._engine is not None and self._worker is not None:
            self._engine.finish()

    def pause(self, is_wanted: bool) -> None:
        """Let the job wait, or go on."""
        if self._engine is not None and self._worker is not None:
            (self._engine.pause if is_wanted else self._engine.go_on)()

    def close(self) -> None:
        """Stop everything and end the engine; nothing is reported any more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting = None
        if self._worker is not None:
            self._worker.stop.request()
        if self._engine is not None:
            self._engine.close()

    def _hear(self, line: str) -> None:
        """Take a line in a thread of the engine's."""
        if not self._is_closed:
            with suppress(RuntimeError):  # the window was closed in this very moment
                self._heard.emit(line)

    def _on_heard(self, line: str) -> None:
        if not self._is_closed:
            self.logged.emit(line)

    def _on_event(self, event: Event) -> None:
        if self._worker is not None and not self._is_closed:
            self.happened.emit(self._worker.job, event)

    def _on_returned(self, outcome: object) -> None:
        if isinstance(outcome, Result):
            self._end(self.succeeded, outcome.value)
        else:
            self._on_errored(outcome or HybridSegError("The engine gave no result; try again."))

    def _on_errored(self, error: object) -> None:
        if self._worker is not None and self._worker.stop.is_requested:
            self._end(self.cancelled)
        else:
            self._end(self.failed, error)

    def _end(self, signal: Any, *values: object) -> None:
        worker, self._worker = self._worker, None
        waiting, self._waiting = self._waiting, None
        if worker is None or self._is_closed:
            return
        signal.emit(worker.job, *values)
        if waiting is not None:
            self.start(waiting)


class Stop:
    """A wish to end a job, that its thread and its engine both hear."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._event = threading.Event()

    @property
    def is_requested(self) -> bool:
        """Whether the job is to end."""
        return self._event.is_set()

    def request(self) -> None:
        """End the job."""
        self._event.set()
        self._engine.cancel()


class _EngineWorker(GeneratorWorker):
    """A worker that ends its engine's job too when napari or the user asks it to quit."""

    job: Job
    gives_way: bool
    stop: Stop

    def quit(self) -> None:
        """End the job; the thread follows as soon as the engine lets go."""
        self.stop.request()


def job_events(engine: Engine, job: Job, stop: Stop) -> Generator[Event, None, Result[Any] | None]:
    """Pass a job's events on; runs in the worker's thread.

    Progress that comes faster than an eye reads is left out, so that the GUI thread stays free.

    Returns
    -------
    Result or None
        The job's last event, if it came and nobody asked the job to stop.

    Raises
    ------
    HybridSegError
        As the job, or when it was asked to stop.
    """
    shown = 0.0
    try:
        for event in engine.run(job):
            if stop.is_requested:
                break
            if isinstance(event, Result):
                return event
            now = time.monotonic()
            if isinstance(event, Progress):
                if event.done < event.total and now - shown < _SECONDS_BETWEEN_PROGRESS:
                    continue
                shown = now
            yield event
    except RuntimeError as error:
        # superqt takes a RuntimeError for a deleted worker, and would tell nobody
        raise HybridSegError(sentence_for(error)) from error
    if stop.is_requested:
        raise HybridSegError("The job was cancelled.")
    return None
