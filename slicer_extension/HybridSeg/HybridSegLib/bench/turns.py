"""Whose turn it is at the engine: the job that is being done, and the one that comes next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from HybridSegLib.seams import JobListener
from napari_hybridseg.engine.jobs import Job


@dataclass
class Run:
    """The job that is being done; once it is cancelled it has a deadline."""

    id: int
    job: Job
    listener: JobListener
    request: bytes
    writing: Iterator[None] | None
    heard: float
    is_background: bool
    deadline: float | None = None


class Waiting(NamedTuple):
    """The job that comes next."""

    job: Job
    listener: JobListener
    is_background: bool
    since: float

    def is_kept_by(self, run: Run, patience_s: float) -> bool:
        """Whether something in the background keeps the user waiting for longer than that."""
        is_users = run.is_background and not self.is_background
        return is_users and time.monotonic() - self.since > patience_s
