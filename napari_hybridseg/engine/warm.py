"""What the engine process keeps between jobs, so that the next one starts at once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypeAlias

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.engine.bits import same_bits

if TYPE_CHECKING:
    from torch import nn

    from napari_hybridseg.corrections.assist.region import RegionPredictor
    from napari_hybridseg.inference.backend_choice import NetworkRunner
    from napari_hybridseg.metrics import Scored
    from napari_hybridseg.volume import Volume

_FileState: TypeAlias = tuple[Path, int, int]


class Warm:
    """The last checkpoint with its network built, one of each, and the room to calculate in.

    Parameters
    ----------
    threads : int
        CPU threads that a job may use; 0 takes all cores but one, which is the viewer's. (Where
        viewer and job share two cores, a job in one thread is not the slower one: threads that
        wait for each other wait for the one that the viewer has put aside.)

    Attributes
    ----------
    is_finish_asked : callable
        Tells the running job whether to come to an end with what it has.
    scored : Scored or None
        The last comparison: while someone paints, the next differs from it by an organ or two.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or _cores_beside_a_viewer()
        self.is_finish_asked: Callable[[], bool] = _no
        self.scored: Scored | None = None
        self._state: _FileState | None = None
        self._held: tuple[Checkpoint, nn.Module] | None = None
        self._runner: NetworkRunner | None = None
        self._predictor: RegionPredictor | None = None

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

    def runner(self, path: Path) -> tuple[Checkpoint, NetworkRunner]:
        """Give a checkpoint and its network with the backends that earlier jobs prepared.

        Raises
        ------
        CheckpointError, ArchitectureError
            If it cannot be used.
        """
        from napari_hybridseg.inference.segmenting import runner_for

        checkpoint, network = self.network(path)
        if self._runner is None:
            self._runner = runner_for(checkpoint, network)
        return checkpoint, self._runner

    def predictor(
        self, volume: Volume, checkpoint: Checkpoint, network: nn.Module
    ) -> RegionPredictor:
        """Give a volume prepared for the network, anew only if one of them is another one."""
        from napari_hybridseg.corrections.assist.region import RegionPredictor

        kept = self._predictor
        if kept is None or kept.network is not network or not _are_same(kept.volume, volume):
            self._predictor = None
            self._predictor = kept = RegionPredictor(volume, checkpoint, network)
        return kept

    def drop(self) -> None:
        """Let go of the network."""
        self._state = self._held = self._runner = self._predictor = None

    @staticmethod
    def return_memory() -> None:
        """Give the system what the last job no longer needs."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _are_same(one: Volume, other: Volume) -> bool:
    """Compare volumes number for number: every job brings its own copy."""
    return one.geometry == other.geometry and same_bits(one.array, other.array)


def _no() -> bool:
    return False


def _cores_beside_a_viewer() -> int:
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(cores - 1, 1)


def _file_state(path: Path) -> _FileState | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return path.absolute(), status.st_mtime_ns, status.st_size
