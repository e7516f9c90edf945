"""Volumes one after another: the next is read and the last is written while one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from napari_hybridseg.errors import HybridSegError

Case = TypeVar("Case")
Read = TypeVar("Read")
Made = TypeVar("Made")
Written = TypeVar("Written")

# what may go wrong with one case and leave the others be
CASE_FAILURES = (HybridSegError, MemoryError, RuntimeError, OSError)

_READ_AHEAD = 1
_WRITTEN_BEHIND = 1


@dataclass(frozen=True)
class Outcome(Generic[Case, Written]):
    """What became of a case: what writing it gave, or why it failed."""

    case: Case
    value: Written | None = None
    failure: BaseException | None = None


def overlapped(
    cases: Iterable[Case],
    read: Callable[[Case], Read],
    make: Callable[[Case, Read], Made],
    write: Callable[[Case, Made], Written],
) -> Iterator[Outcome[Case, Written]]:
    """Read, make and write every case, the three overlapping; a failed one stops no other.

    ``make`` runs in the caller's thread, ``read`` and ``write`` in one thread each. At most one
    case waits to be made and one to be written, so memory does not grow with their number.

    Yields
    ------
    Outcome
        For every case, in the order given.
    """
    waiting = deque(cases)
    reading: deque[tuple[Case, Future[Read]]] = deque()
    writing: deque[tuple[Case, Future[Written] | BaseException]] = deque()
    with (
        ThreadPoolExecutor(1, "reading") as reader,
        ThreadPoolExecutor(1, "writing") as writer,
    ):
        try:
            while waiting or reading:
                while waiting and len(reading) <= _READ_AHEAD:
                    case = waiting.popleft()
                    reading.append((case, reader.submit(read, case)))
                case, future = reading.popleft()
                try:
                    writing.append((case, writer.submit(write, case, make(case, future.result()))))
                except CASE_FAILURES as error:
                    writing.append((case, error))
                # the volume must not outlive its case
                del future
                while len(writing) > _WRITTEN_BEHIND:
                    yield _outcome(*writing.popleft())
            while writing:
                yield _outcome(*writing.popleft())
        finally:
            for _, future in reading:
                future.cancel()


def _outcome(case: Case, ending: Future[Written] | BaseException) -> Outcome[Case, Written]:
    if isinstance(ending, BaseException):
        return Outcome(case, failure=ending)
    try:
        return Outcome(case, ending.result())
    except CASE_FAILURES as error:
        return Outcome(case, failure=error)
