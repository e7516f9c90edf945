"""What the engine process keeps between jobs, so that the next one starts at once."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint

if TYPE_CHECKING:
    from torch import nn

_FileState: TypeAlias = tuple[Path, int, int]


class Warm:
    """The last checkpoint with its network built, one of each, and the room to calculate in.

    Parameters
    ----------
    threads : int
        CPU threads that a job may use; 0 takes all cores, less one for the viewer where there
        are more than two.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or _cores_beside_a_viewer()
        self._state: _FileState | None = None
        self._held: tuple[Checkpoint, nn.Module] | None = None

    def network(self, path: Path) -> tuple[Checkpoint, nn.Module]:
        """Give a checkpoint and its network, built anew only if the file is another one.

        Raises
        ------
        CheckpointError, ArchitectureError
            If it cannot be used.
        """
        state = _file_state(path)
        if self._held is None or state is None or state != self._state:
            self.drop()
            checkpoint = load_checkpoint(path)
            self._held, self._state = (checkpoint, checkpoint.build_network()), state
        return self._held

    def drop(self) -> None:
        """Let go of the network."""
        self._state = self._held = None

    @staticmethod
    def return_memory() -> None:
        """Give the system what the last job no longer needs."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _cores_beside_a_viewer() -> int:
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return cores - 1 if cores > 2 else cores


def _file_state(path: Path) -> _FileState | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return path.absolute(), status.st_mtime_ns, status.st_size
