"""The engine process: takes jobs as lines of JSON, says what they say, until nobody listens."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any, BinaryIO

from pydantic import ValidationError

from napari_hybridseg.engine.codec import decode_fields
from napari_hybridseg.engine.failures import details_for, sentence_for
from napari_hybridseg.engine.jobs import Job
from napari_hybridseg.engine.kinds import JOB_KINDS, JobKind
from napari_hybridseg.engine.protocol import (
    LONGEST_LINE,
    Cancel,
    Reply,
    Request,
    Steer,
    parse_order,
    reply_for_event,
    reply_line,
)
from napari_hybridseg.engine.scratch import ArrayFolder
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Result

LAST_WORDS_S = 5.0
PARENT_POLL_S = 1.0
PAUSE_POLL_S = 0.1
NICENESS = 5

logger = logging.getLogger(__name__)


class JobError(HybridSegError):
    """A job that the engine does not know or understand, or that gave no result."""


class Worker:
    """Runs jobs one at a time, in the thread that calls :meth:`run`.

    Parameters
    ----------
    inbox, outbox : binary files
        Where orders come from and replies go to.
    kinds : mapping
        The jobs it knows, by name.
    threads : int
        CPU threads for a job; 0 decides by the cores.
    """

    def __init__(
        self,
        inbox: BinaryIO,
        outbox: BinaryIO,
        kinds: Mapping[str, JobKind] = JOB_KINDS,
        threads: int = 0,
    ) -> None:
        self.abandoned = threading.Event()
        self._inbox = inbox
        self._outbox = outbox
        self._kinds = kinds
        self._warm = Warm(threads)
        self._orders: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._cancelled: set[int] = set()
        self._finishing: set[int] = set()
        self._paused: set[int] = set()

    def run(self) -> None:
        """Work until the inbox ends or nobody reads the outbox any more."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        while (request := self._orders.get()) is not None and not self.abandoned.is_set():
            ending = self._work(request)
            with self._lock:
                self._open.discard(request.id)
                for ids in (self._cancelled, self._finishing, self._paused):
                    ids.discard(request.id)
            self._say(ending)
            self._warm.return_memory()

    def abandon(self) -> None:
        """Stop as soon as the running job can: there is nobody left to work for."""
        self.abandoned.set()
        self._orders.put(None)

    def _listen(self) -> None:
        for line in iter(partial(self._inbox.readline, LONGEST_LINE), b""):
            order = parse_order(line)
            if isinstance(order, Request):
                with self._lock:
                    self._open.add(order.id)
                self._orders.put(order)
            elif isinstance(order, Cancel):
                with self._lock:
                    self._cancelled |= {order.id} & self._open
            elif isinstance(order, Steer):
                self._steer(order)
            else:
                logger.warning("not understood: %r", line[:200])
        self.abandon()

    def _steer(self, steer: Steer) -> None:
        with self._lock:
            known = {steer.id} & self._open
            if steer.wish == "pause":
                self._paused |= known
            else:  # a job that waits cannot finish
                self._paused -= known
            if steer.wish == "finish":
                self._finishing |= known

    def _work(self, request: Request) -> Reply:
        """Do a job, and give its last word, whatever happens."""
        try:
            return self._events(request)
        except HybridSegError as error:
            failure: BaseException = error
        except Exception as error:  # noqa: BLE001 - whatever a job does, the engine lives on
            self._warm.drop()
            failure = error
        fields = {"message": sentence_for(failure), "details": details_for(failure)}
        return Reply(request.id, "error", fields)

    def _events(self, request: Request) -> Reply:
        folder = ArrayFolder(request.folder)
        numbers = count()
        ending: Reply | None = None

        def put(array: Any) -> str:
            return folder.put(array, f"out-{request.id}-{next(numbers)}")

        kind = self._kinds.get(request.job)
        if kind is None:
            raise JobError(f"The engine has no job {request.job!r}; update it.")
        self._warm.is_finish_asked = partial(self._is_finishing, request.id)
        # a generator: closing it is what cancels
        running: Any = kind.run(_understood(kind, request, folder), self._warm)
        with closing(running):
            for event in running:
                self._wait_while_paused(request.id)
                if self._is_cancelled(request.id):
                    return Reply(request.id, "cancelled")
                reply = reply_for_event(request.id, event, put)
                if isinstance(event, Result):
                    ending = reply
                else:
                    self._say(reply)
        if ending is None:
            raise JobError(f"The job {request.job!r} ended without a result.")
        return ending

    def _is_cancelled(self, job_id: int) -> bool:
        with self._lock:
            return job_id in self._cancelled or self.abandoned.is_set()

    def _is_finishing(self, job_id: int) -> bool:
        with self._lock:
            return job_id in self._finishing

    def _wait_while_paused(self, job_id: int) -> None:
        while not self._is_cancelled(job_id):
            with self._lock:
                if job_id not in self._paused:
                    return
            self.abandoned.wait(PAUSE_POLL_S)

    def _say(self, reply: Reply) -> None:
        try:
            self._outbox.write(reply_line(reply))
            self._outbox.flush()
        except OSError:
            self.abandon()


def serve(threads: int = 0) -> None:
    """Be the engine process, on this process's standard streams.

    Ends the process when the standard input ends, which it does when the viewer does. A job
    that then does not stop within five seconds is ended with it.

    Parameters
    ----------
    threads : int
        CPU threads for a job; 0 takes all cores but one, which is the viewer's.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    faulthandler.enable()
    # Ctrl-C in a terminal reaches the whole family, and is meant for the viewer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(NICENESS)
    worker = Worker(*_take_standard_streams(), threads=threads)
    parent = os.getppid()
    threading.Thread(target=_watch, args=(worker, parent), name="watch", daemon=True).start()
    worker.run()
    for child in multiprocessing.active_children():
        child.kill()
    logging.shutdown()
    sys.stderr.flush()
    # taking torch apart in good order would keep the viewer waiting for seconds
    os._exit(0)


def _understood(kind: JobKind, request: Request, folder: ArrayFolder) -> Job:
    try:
        return kind.job.model_validate(decode_fields(request.params, folder.take))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise JobError(
            f"The job {request.job!r} makes no sense at {place!r} ({first['msg']})."
        ) from error


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the standard streams for messages; what anybody prints goes to the log."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # something may have been printed before, without an end of line
    outbox.write(b"\n")
    return inbox, outbox


def _watch(worker: Worker, parent: int) -> None:
    """End this process and its children if it outlives the viewer by more than a moment.

    The inbox alone does not tell: a child of the viewer may have inherited its other end.
    """
    while not worker.abandoned.wait(PARENT_POLL_S):
        if os.getppid() != parent:
            worker.abandon()
    time.sleep(LAST_WORDS_S)
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
