"""The seams of the panel: what it needs of others, so that each can be replaced in a test."""

from __future__ import annotations

from typing import Any, Protocol


class JobListener(Protocol):
    """Hears what a job says; exactly one of the last three comes, and comes last."""

    def on_event(self, event: Any) -> None:
        """Hear an event that is not the result."""
        ...

    def on_success(self, value: Any) -> None:
        """Take the result."""
        ...

    def on_failure(self, error: Exception) -> None:
        """Hear why there is no result."""
        ...

    def on_cancelled(self) -> None:
        """Hear that the job was stopped."""
        ...


class Engine(Protocol):
    """What does jobs, one at a time, without making the GUI wait."""

    logged: Any

    def start(self, job: Any, listener: JobListener) -> None:
        """Start a job of the user's; returns at once. What is done aside is waited for."""
        ...

    def aside(self, job: Any, listener: JobListener, *, may_wait: bool = False) -> bool:
        """Start a job in the background; whether it was taken."""
        ...

    def cancel(self) -> None:
        """Stop the running job, if there is one; returns at once."""
        ...

    def steer(self, wish: Any) -> None:
        """Ask the running job to ``"finish"`` with what it has, to ``"pause"``, to ``"go on"``."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


class Placing(Protocol):
    """Lets the user place a point with the next click into a view."""

    def start(self, node: Any) -> None:
        """Have the next click add a point to a Markups node."""
        ...

    def stop(self) -> None:
        """Let clicks be clicks again."""
        ...


class Editor(Protocol):
    """Where segmentations are painted in."""

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Take the user there, with a segmentation and the volume that it is painted on."""
        ...


class Installation(Protocol):
    """The engine's package in Slicer's Python."""

    def obstacle(self) -> str:
        """Say in one sentence why the engine can never be installed here, or nothing."""
        ...

    def is_complete(self) -> bool:
        """Whether the engine can be used."""
        ...

    def install(self) -> None:
        """Ask, then install what is missing; raises InstallError."""
        ...


class Task(Protocol):
    """What the panel does for the user: one job, or several in a row, and what becomes of them."""

    name: str

    def next_job(self) -> Any | None:
        """Give the next job; None when all are done."""
        ...

    def hear(self, event: Any) -> Any:
        """Give an event as it is to be shown; None keeps it from being shown."""
        ...

    def take(self, value: Any) -> None:
        """Take a job's result."""
        ...

    def finish(self) -> str:
        """Put the results into the scene, and say so in a sentence."""
        ...
