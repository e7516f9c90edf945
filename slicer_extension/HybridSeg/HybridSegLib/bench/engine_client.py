"""The engine as the panel uses it: jobs go out, events come back, the GUI never waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import qt

from HybridSegLib.bench.handover import Handover
from HybridSegLib.bench.turns import Run, Waiting
from HybridSegLib.engine_process import EngineProcess, text_of
from HybridSegLib.seams import JobListener
from HybridSegLib.signal import Signal
from napari_hybridseg.engine.codec import encode_fields
from napari_hybridseg.engine.failures import (
    EngineDied,
    EngineError,
    JobFailed,
    sentence_for_death,
)
from napari_hybridseg.engine.jobs import Job
from napari_hybridseg.engine.protocol import (
    Cancel,
    Reply,
    Request,
    Steer,
    Wish,
    cancel_line,
    event_of_reply,
    parse_reply,
    request_line,
    steer_line,
)
from napari_hybridseg.engine.scratch import Scratch
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Note, Result

GRACE_S = 3.0
SILENCE_S = 60.0
PATIENCE_S = 30.0
_TICK_MS = 100
_LAST_MOMENT_MS = 300


class EngineClient:
    """Runs jobs in an engine process, one at a time; see ``seams.Engine``.

    The process starts with the first job and stays warm for the next. One that died or had to be
    killed is replaced at the next job. ``logged`` is emitted with every line that it prints.

    Parameters
    ----------
    command : sequence of str
        What starts the engine.
    grace_s : float
        Seconds that a cancelled job gets to end by itself before the engine is killed.
    silence_s : float
        Seconds without a word after which the listener is told of it.
    patience_s : float
        Seconds that a job of the user's waits for one in the background before that is cancelled.
    """

    def __init__(
        self,
        command: Sequence[str],
        grace_s: float = GRACE_S,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.logged = Signal()
        self._command = tuple(command)
        self._grace_s = grace_s
        self._silence_s = silence_s
        self._patience_s = patience_s
        self._process: EngineProcess | None = None
        self._scratch: Scratch | None = None
        self._run: Run | None = None
        self._waiting: Waiting | None = None
        self._last_id = 0
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._on_tick)

    @property
    def pid(self) -> int:
        """The process id of the engine; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self, job: Job, listener: JobListener) -> None:
        """Start a job of the user's; returns at once.

        One that comes during a background job, or while another one is being cancelled, waits for
        that; what waits in the background makes room.

        Raises
        ------
        EngineError
            If another job of the user's is running or waiting.
        ScratchError
            If there is no temporary folder.
        """
        run, waiting = self._run, self._waiting
        if run is None:
            self._begin(job, listener, is_background=False)
            return
        is_free = run.is_background or run.deadline is not None
        if not is_free or (waiting is not None and not waiting.is_background):
            raise EngineError("The engine is busy with another job; wait or cancel that one.")
        self._waiting = Waiting(job, listener, False, time.monotonic())
        if run.is_background and not run.job.helps(job):
            self._stop(run)
        if waiting is not None:
            waiting.listener.on_cancelled()

    def aside(self, job: Job, listener: JobListener, *, may_wait: bool = False) -> bool:
        """Start a job in the background, unless the engine is at work; returns at once.

        Parameters
        ----------
        job : Job
        listener : JobListener
        may_wait : bool
            Whether it may wait for another one in the background.

        Returns
        -------
        bool
            Whether it was taken; if not, nobody hears of it.
        """
        if self._run is None:
            try:
                self._begin(job, listener, is_background=True)
            except HybridSegError as error:
                listener.on_failure(error)
            return True
        if not (may_wait and self._run.is_background and self._waiting is None):
            return False
        self._waiting = Waiting(job, listener, True, time.monotonic())
        return True

    def _begin(self, job: Job, listener: JobListener, *, is_background: bool) -> None:
        self._last_id += 1
        scratch = self._scratch = self._scratch or Scratch()
        handover = Handover(scratch.path, f"in-{self._last_id}")
        params = encode_fields(job, handover.put)
        request = request_line(Request(self._last_id, job.kind, scratch.path, params))
        now = time.monotonic()
        steps = handover.steps()
        self._run = Run(self._last_id, job, listener, request, steps, now, is_background)
        self._wake_engine()
        self._timer.start(0)

    def cancel(self) -> None:
        """Stop the running job; its listener hears of it within the grace period."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.listener.on_cancelled()
        elif self._run is not None:
            self._stop(self._run)

    def _stop(self, run: Run) -> None:
        if run.deadline is not None:
            return
        run.deadline = time.monotonic() + self._grace_s
        if run.writing is not None:
            run.writing = None
            run.deadline = 0.0  # the engine knows nothing of it yet
        elif self._process is not None:
            self._process.say(cancel_line(Cancel(run.id)))
        self._timer.start(_TICK_MS)

    def steer(self, wish: Wish) -> None:
        """Ask the running job to finish with what it has, to pause, or to go on after that."""
        run = self._run
        if run is None or run.writing is not None or self._process is None:
            return
        # who waits because it was told to is not silent
        run.heard = math.inf if wish == "pause" else time.monotonic()
        self._process.say(steer_line(Steer(run.id, wish)))

    def close(self) -> None:
        """End the engine and remove its folder; nobody hears of a job that was running."""
        self._timer.stop()
        self._run = self._waiting = None
        process, self._process = self._process, None
        if process is not None and process.is_alive:
            process.close_input()
            if not process.wait(_LAST_MOMENT_MS):
                process.kill()
                process.wait(_LAST_MOMENT_MS)
            process.leave()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.close()

    def _wake_engine(self) -> None:
        if self._process is None or not self._process.is_alive:
            process = self._process = EngineProcess(self._command)
            process.said.connect(self._on_line)
            process.logged.connect(self.logged.emit)
            process.ended.connect(partial(self._on_end, process))
            process.start()

    def _on_tick(self) -> None:
        run = self._run
        if run is None:
            self._timer.stop()
        elif run.deadline is not None:
            if time.monotonic() > run.deadline:
                self._drop_engine(keep=run.deadline == 0.0)
                self._end(run.listener.on_cancelled)
        elif self._waiting is not None and self._waiting.is_kept_by(run, self._patience_s):
            self._stop(run)
        elif run.writing is not None:
            self._write_on(run, run.writing)
        elif time.monotonic() - run.heard > self._silence_s:
            run.heard = time.monotonic()
            run.listener.on_event(
                Note(f"The engine has said nothing for {self._silence_s:.0f} s; it may be busy.")
            )

    def _write_on(self, run: Run, writing: Iterator[None]) -> None:
        try:
            next(writing)
        except StopIteration:
            run.writing = None
            run.heard = time.monotonic()
            if self._process is not None:
                self._process.say(run.request)
            self._timer.start(_TICK_MS)
        except HybridSegError as error:
            self._end(partial(run.listener.on_failure, error))

    def _on_line(self, line: bytes) -> None:
        reply = parse_reply(line)
        if reply is None:
            if line.strip():
                self.logged.emit(text_of(line))
        elif self._run is not None and reply.id == self._run.id:
            self._run.heard = time.monotonic()
            try:
                self._on_reply(self._run, reply)
            except HybridSegError as error:
                listener = self._run.listener
                self._drop_engine()
                self._end(partial(listener.on_failure, error))

    def _on_reply(self, run: Run, reply: Reply) -> None:
        listener = run.listener
        if reply.event == "cancelled" or (reply.is_ending and run.deadline is not None):
            self._end(listener.on_cancelled)
            return
        if reply.event == "error":
            details = str(reply.fields.get("details", ""))
            for line in details.splitlines():
                self.logged.emit(line)
            error = JobFailed(str(reply.fields.get("message", "The job failed.")), details)
            self._end(partial(listener.on_failure, error))
            return
        assert self._scratch is not None
        event = event_of_reply(reply, partial(self._scratch.take, remove=True))
        if isinstance(event, Result):
            self._end(partial(listener.on_success, event.value))
        elif run.deadline is None:
            listener.on_event(event)

    def _on_end(self, process: EngineProcess, code: int | None) -> None:
        if process is not self._process:
            return
        self._process = None
        run = self._run
        if run is None:
            return
        if run.deadline is not None:
            self._end(run.listener.on_cancelled)
            return
        command = " ".join(self._command)
        error = EngineDied(
            f"The engine could not be started as {command!r}; reinstall HybridSeg's engine."
            if code is None
            else sentence_for_death(code, self._command)
        )
        self._end(partial(run.listener.on_failure, error))

    def _drop_engine(self, *, keep: bool = False) -> None:
        if self._process is not None and not keep:
            process, self._process = self._process, None
            process.leave()
            process.kill()

    def _end(self, tell: Callable[[], Any]) -> None:
        """Forget the job first: the listener may start the next one."""
        run, self._run = self._run, None
        self._timer.stop()
        if run is not None and self._scratch is not None:
            self._scratch.remove(f"in-{run.id}-*")
            self._scratch.remove(f"out-{run.id}-*")
        tell()
        waiting = self._waiting
        if self._run is None and waiting is not None:
            self._waiting = None
            try:
                self._begin(waiting.job, waiting.listener, is_background=waiting.is_background)
            except HybridSegError as error:
                waiting.listener.on_failure(error)
