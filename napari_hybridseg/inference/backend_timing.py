"""What choosing among backends rests on: times, differences, and what is remembered of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar, Union

import torch
from torch import Tensor

from napari_hybridseg.events import Note, Progress
from napari_hybridseg.inference.backends import Backend

PLAIN = "plain"
_BEAT_S = 0.2

T = TypeVar("T")
Steps = Generator[Union[Progress, Note], None, T]


@dataclass
class Record:
    """What is known of a network on this machine; kept on disk.

    Attributes
    ----------
    spent_s : float
        How long it has run so far.
    seconds : dict
        Of one window, by backend.
    load_s : dict
        How long a backend takes to be made where it is not at hand.
    """

    spent_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    load_s: dict[str, float] = field(default_factory=dict)

    def fastest(self, windows: int, at_hand: set[str]) -> str:
        """Name what finishes first, with the time to load what is not at hand."""
        return min(
            self.seconds,
            key=lambda name: (
                self.seconds[name] * windows
                + (0.0 if name in at_hand else self.load_s.get(name, 0.0))
            ),
        )


def softmax_difference(logits: Tensor, expected: Tensor) -> float:
    """Give the largest difference in a class probability anywhere; infinite where one is NaN."""
    away = (logits.float().softmax(1) - expected.float().softmax(1)).abs().max()
    return float(away) if bool(away.isfinite()) else float("inf")


def timed(backend: Backend, window: Tensor) -> tuple[Tensor, float]:
    """Run a window; give its logits and the seconds, a GPU's work included."""
    began = time.perf_counter()
    logits = backend(window)
    if backend.device.type == "cuda":
        torch.cuda.synchronize(backend.device)
    return logits, time.perf_counter() - began


def in_thread(stage: str, act: Callable[[], T]) -> Steps[T]:
    """Do something in a thread, with a sign of life now and then, so that it can be cancelled."""
    pool = ThreadPoolExecutor(1, "hybridseg-backend")
    future: Future[T] = pool.submit(act)
    try:
        while not wait([future], _BEAT_S).done:
            yield Progress(stage, 0, 1)
        return future.result()
    finally:
        pool.shutdown(wait=False)
