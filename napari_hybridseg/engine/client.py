"""What a face calls: jobs go out to the engine process, events come back.

No torch, no Qt, no asyncio: a face iterates the events in a thread of its own, and may cancel
from any other.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from typing_extensions import Self

from napari_hybridseg.engine.codec import encode_fields
from napari_hybridseg.engine.failures import (
    EngineDied,
    EngineError,
    JobCancelled,
    JobFailed,
    sentence_for_death,
)
from napari_hybridseg.engine.jobs import (
    DevicesJob,
    EstimateJob,
    ExplainJob,
    Job,
    ScoreJob,
    SegmentJob,
    VolumeJob,
)
from napari_hybridseg.engine.process import EngineProcess, Log, LogCallback
from napari_hybridseg.engine.protocol import (
    Cancel,
    Reply,
    Request,
    Steer,
    Wish,
    cancel_line,
    event_of_reply,
    request_line,
    steer_line,
)
from napari_hybridseg.engine.scratch import Scratch
from napari_hybridseg.events import Event
from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics import Convention
from napari_hybridseg.volume import LabelMap, Volume


@dataclass
class _Ticket:
    """The job that is being done; once it is cancelled it has a deadline."""

    id: int
    process: EngineProcess | None = None
    deadline: float | None = None
    is_over: bool = False

    @property
    def is_cancelled(self) -> bool:
        return self.deadline is not None

    def is_overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline


class EngineClient:
    """Runs jobs in an engine process, one at a time.

    The process is started for the first job and stays warm for the next; when it has died or
    had to be killed, the next job gets a new one. It ends with its client, or with the
    client's process, however that ends.

    Parameters
    ----------
    command : sequence of str or None
        What starts the engine; None is this Python's ``-m napari_hybridseg.engine``.
    grace_s : float
        Seconds that a cancelled job, or an engine that is no longer needed, gets to end by
        itself before it is killed.
    on_log : callable or None
        Gets every line that the engine prints, in another thread.
    environment : mapping or None
        Variables that the engine gets besides this process's own.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        grace_s: float = 3.0,
        on_log: LogCallback | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = tuple(command or (sys.executable, "-m", "napari_hybridseg.engine"))
        self._grace_s = grace_s
        self._environment = dict(environment or {})
        self._log = Log(on_log)
        self._lock = threading.Lock()
        self._ids = count(1)
        self._is_closed = False
        self._ticket: _Ticket | None = None
        self._process: EngineProcess | None = None
        self._scratch: Scratch | None = None
        self._warm_arrays: frozenset[str] = frozenset()

    def segment(
        self, volume: Volume, checkpoint: str | Path, options: SegmentOptions | None = None
    ) -> Iterator[Event]:
        """Segment a volume; the result is a ``LabelMap``. See :meth:`run`."""
        path = Path(checkpoint).absolute()
        return self.run(
            SegmentJob(volume=volume, checkpoint=path, options=options or SegmentOptions())
        )

    def estimate(
        self, volume: Volume, checkpoint: str | Path, options: SegmentOptions | None = None
    ) -> Iterator[Event]:
        """Time two windows; the result is an ``Estimate``. See :meth:`run`."""
        path = Path(checkpoint).absolute()
        return self.run(
            EstimateJob(volume=volume, checkpoint=path, options=options or SegmentOptions())
        )

    def explain(
        self, volume: Volume, checkpoint: str | Path, options: ExplainOptions | None = None
    ) -> Iterator[Event]:
        """Show what a network saw; the result is an ``Explanation``. See :meth:`run`."""
        path = Path(checkpoint).absolute()
        return self.run(
            ExplainJob(volume=volume, checkpoint=path, options=options or ExplainOptions())
        )

    def score(
        self,
        prediction: LabelMap,
        reference: LabelMap,
        *,
        labels: Sequence[int] | Mapping[int, str] | None = None,
        tolerance_mm: float = 1.0,
        convention: Convention = "monai",
    ) -> Iterator[Event]:
        """Compare a label map with a reference; the result is a ``ScoreReport``. See :meth:`run`.

        ``tolerance_mm`` is for the normalised surface distance.
        """
        return self.run(
            ScoreJob(
                prediction=prediction,
                reference=reference,
                labels=_names_or_numbers(labels),
                tolerance_mm=tolerance_mm,
                convention=convention,
            )
        )

    def devices(self) -> Iterator[Event]:
        """Look at what networks can run on; the result is a ``DeviceReport``. See :meth:`run`."""
        return self.run(DevicesJob())

    def run(self, job: Job) -> Iterator[Event]:
        """Do a job.

        The job begins with the first event that is asked for. Closing the generator cancels it
        and waits for its end, at most the grace period and a moment.

        Yields
        ------
        Event
            What the job says; the last one is its ``Result``.

        Raises
        ------
        JobFailed
            If the job failed; the message is its own.
        JobCancelled
            If :meth:`cancel` was called; no result comes then.
        EngineDied
            If the engine could not be started, or ended in the middle of the job.
        EngineError
            If another job is running, or the client is closed.
        ScratchError
            If the arrays could not be handed over.
        """
        with self._claimed() as ticket:
            process = self._send(ticket, job)
            try:
                yield from self._events(ticket, process)
            finally:
                if not ticket.is_over:
                    self.cancel()
                    deque(self._replies(ticket, process), maxlen=0)

    def cancel(self) -> None:
        """Cancel the running job, if there is one; may be called from any thread.

        Returns at once. The job's iterator raises ``JobCancelled``, when the grace period is
        over at the latest.
        """
        with self._lock:
            ticket = self._ticket
            if ticket is None or ticket.is_cancelled:
                return
            ticket.deadline = time.monotonic() + self._grace_s
            if ticket.process is not None:
                ticket.process.say(cancel_line(Cancel(ticket.id)))

    def finish(self) -> None:
        """Ask the running job to come to an end with what it has, as a fine-tune can.

        Its result comes then, after what it still has to measure. Jobs that cannot do so go on.
        May be called from any thread.
        """
        self._steer("finish")

    def pause(self) -> None:
        """Let the running job wait, at its next event, until :meth:`go_on`."""
        self._steer("pause")

    def go_on(self) -> None:
        """Let a paused job go on."""
        self._steer("go on")

    def close(self) -> None:
        """End the engine and remove its temporary folder; a running job is cancelled."""
        with self._lock:
            self._is_closed = True
            if self._ticket is not None:
                self._ticket.deadline = time.monotonic()
            process, self._process = self._process, None
            scratch, self._scratch = self._scratch, None
        if process is not None:
            process.close()
        if scratch is not None:
            scratch.close()

    @property
    def log_tail(self) -> str:
        """The last lines that the engine printed."""
        return self._log.tail()

    @property
    def pid(self) -> int | None:
        """The process id of the engine, while there is one."""
        process = self._process
        return process.pid if process is not None and process.is_alive else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _steer(self, wish: Wish) -> None:
        with self._lock:
            ticket = self._ticket
            if ticket is not None and ticket.process is not None:
                ticket.process.say(steer_line(Steer(ticket.id, wish)))

    @contextmanager
    def _claimed(self) -> Iterator[_Ticket]:
        """Be the only job; leave nothing of it behind but the volume."""
        with self._lock:
            if self._is_closed:
                raise EngineError("The engine was closed already; open it again.")
            if self._ticket is not None:
                raise EngineError("The engine is busy with another job; wait or cancel that one.")
            scratch = self._scratch = self._scratch or Scratch()
            ticket = self._ticket = _Ticket(next(self._ids))
        try:
            yield ticket
        finally:
            with self._lock:
                self._ticket = None
            scratch.remove(f"out-{ticket.id}-*")
            for name in scratch.names("in-*") - self._warm_arrays:
                scratch.remove(name)

    def _send(self, ticket: _Ticket, job: Job) -> EngineProcess:
        scratch = self._open_scratch()
        names: dict[int, str] = {}

        def put(array: NDArray[Any]) -> str:
            names[id(array)] = name = scratch.put_once(array)
            return name

        request = Request(ticket.id, job.kind, scratch.path, encode_fields(job, put))
        if isinstance(job, VolumeJob):
            self._warm_arrays = frozenset({names[id(job.volume.array)]})
        with self._lock:
            if ticket.is_cancelled:
                raise JobCancelled
            if self._process is None or not self._process.is_alive:
                self._process = EngineProcess(
                    self._command, self._grace_s, self._log, self._environment
                )
            ticket.process = self._process
            ticket.process.say(request_line(request))
            return ticket.process

    def _events(self, ticket: _Ticket, process: EngineProcess) -> Iterator[Event]:
        take = partial(self._open_scratch().take, remove=True)
        for reply in self._replies(ticket, process):
            if reply.event == "cancelled" or (ticket.is_over and ticket.is_cancelled):
                raise JobCancelled
            if reply.event == "error":
                raise self._failure(reply)
            yield event_of_reply(reply, take)
            if ticket.is_over:
                return
        if ticket.is_cancelled:
            raise JobCancelled
        raise EngineDied(sentence_for_death(process.close(), self._command), self.log_tail)

    def _replies(self, ticket: _Ticket, process: EngineProcess) -> Iterator[Reply]:
        """Give what a job says, to its end or that of the engine."""
        for reply in process.replies(ticket.is_overdue):
            if reply.id == ticket.id:
                ticket.is_over = reply.is_ending
                yield reply
                if ticket.is_over:
                    return
        ticket.is_over = True
        process.close()

    def _failure(self, reply: Reply) -> JobFailed:
        details = str(reply.fields.get("details", ""))
        for line in details.splitlines():
            self._log(line)
        return JobFailed(str(reply.fields.get("message", "The job failed.")), details)

    def _open_scratch(self) -> Scratch:
        scratch = self._scratch
        if scratch is None:
            raise JobCancelled
        return scratch


def _names_or_numbers(
    labels: Sequence[int] | Mapping[int, str] | None,
) -> tuple[int, ...] | dict[int, str] | None:
    if labels is None:
        return None
    return dict(labels) if isinstance(labels, Mapping) else tuple(labels)
