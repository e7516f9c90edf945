"""What runs a program: our operations on threads of their own, torch's on one or on as many."""

from __future__ import annotations

import time
from threading import Lock

from torch import Tensor

from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.inference.winograd.layout import Workers, channels_first
from napari_hybridseg.inference.winograd.program import Program, Runner


class Compute:
    """A program for inputs of one shape; a second thread waits for the first.

    Parameters
    ----------
    program : Program
        A rewritten network.
    example : Tensor
        An input, to measure with.
    threads : int
        How many our operations run on, and torch's if they gain by it.
    """

    def __init__(self, program: Program, example: Tensor, threads: int) -> None:
        self._workers = Workers(threads)
        self._alone = Lock()  # a measurement that was cancelled may still run
        self._run = Runner(program, self._workers)
        self._torchs_threads = 1
        self(example)
        if threads > 1:
            self._torchs_threads = self._fastest(example, threads)

    def __call__(self, image: Tensor) -> Tensor:
        """Give the network's logits (1, K, [Z,] Y, X), in new memory."""
        with self._alone, cpu_threads(self._torchs_threads):
            return channels_first(self._run(image), self._workers)

    def _fastest(self, example: Tensor, threads: int) -> int:
        """Measure whether torch's own threads are a gain.

        Where they wait for work without sleeping, as they do unless told otherwise, they take the
        cores from ours.
        """
        times = {}
        for count in (threads, 1):
            self._torchs_threads = count
            self(example)  # those of the other way go to sleep
            began = time.perf_counter()
            self(example)
            times[count] = time.perf_counter() - began
        return min(times, key=lambda count: times[count])
