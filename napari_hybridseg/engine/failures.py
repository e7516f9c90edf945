"""What went wrong in a job, as one sentence for the user and the rest for the log."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Sequence

from napari_hybridseg.errors import HybridSegError, is_out_of_memory

_GPU_WORDS = ("cuda", "mps", "hip")


class EngineError(HybridSegError):
    """A failure of the engine; ``details`` is for the log.

    Parameters
    ----------
    message : str
        One sentence.
    details : str
        A traceback, or the end of the engine's log.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class JobFailed(EngineError):
    """The engine lives, and its job failed."""


class EngineDied(EngineError):
    """The engine process could not be started, or ended in the middle of a job."""


class JobCancelled(HybridSegError):
    """A job ended because somebody wished so."""

    def __init__(self) -> None:
        super().__init__("The job was cancelled.")


def sentence_for(error: BaseException) -> str:
    """Say what went wrong, and what to do, in one sentence."""
    if isinstance(error, HybridSegError):
        return str(error)
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return _memory_sentence(text.lower())
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"The job failed unexpectedly ({reason[:300]}); the log has the details."


def details_for(error: BaseException) -> str:
    """Give the traceback."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def sentence_for_death(code: int, command: Sequence[str]) -> str:
    """Say why an engine process may have ended with this exit code in the middle of a job."""
    if code == -9:
        return (
            "The engine was killed by the system, most likely because the computer ran out of "
            "memory; close other programs or use a smaller volume, and run the job again."
        )
    if code < 0:
        return f"The engine crashed ({_signal_name(-code)}); the log may say why; run it again."
    return (
        f"The engine ended with exit code {code} before its job was done; the log may say why "
        f"(started as: {' '.join(command)})."
    )


def _memory_sentence(text: str) -> str:
    if any(word in text for word in _GPU_WORDS):
        return (
            "The GPU ran out of memory; close other programs that use it, or choose the CPU or "
            "another device."
        )
    return (
        "The computer ran out of memory; close other programs, or use a smaller volume or a "
        "computer with more memory."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
