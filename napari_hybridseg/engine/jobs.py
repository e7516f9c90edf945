"""The jobs that the engine can be given.

A job describes what is to be done and holds no code that does it: that is in
:mod:`napari_hybridseg.engine.kinds`, which only the engine process imports. This module
imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, InstanceOf

from napari_hybridseg.corrections.accepting import Correction
from napari_hybridseg.corrections.assist.options import RankOptions, RepairOptions, TeachOptions
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.inference.estimate import Probe
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import Convention
from napari_hybridseg.volume import LabelMap, Volume


class Job(BaseModel):
    """Base of every job; ``kind`` is its name in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    def helps(self, other: Job) -> bool:
        """Say whether another job had better wait for this one than have it cancelled."""
        return True


class VolumeJob(Job):
    """Base of the jobs on one volume, which stays at hand for the next of them."""

    volume: InstanceOf[Volume]


class SegmentJob(VolumeJob):
    """Name the organs in a volume; the result is a ``LabelMap``."""

    kind = "segment"

    checkpoint: Path
    options: SegmentOptions = SegmentOptions()


class ExplainJob(VolumeJob):
    """Show what a network saw in a volume; the result is an ``Explanation``."""

    kind = "explain"

    checkpoint: Path
    options: ExplainOptions = ExplainOptions()


class EstimateJob(VolumeJob):
    """Say what segmenting costs; the result is an ``Estimate``.

    Two windows are timed, unless a ``probe`` says already how long they take.
    """

    kind = "estimate"

    checkpoint: Path
    options: SegmentOptions = SegmentOptions()
    probe: InstanceOf[Probe] | None = None


class ScoreJob(Job):
    """Compare a label map with a reference; the result is a ``ScoreReport``."""

    kind = "score"

    prediction: InstanceOf[LabelMap]
    reference: InstanceOf[LabelMap]
    labels: tuple[int, ...] | dict[int, str] | None = None
    tolerance_mm: float = 1.0
    convention: Convention = "monai"


class ErrorsJob(Job):
    """Find where a label map is wrong; the result is ``metrics.error_places.Errors``."""

    kind = "errors"

    prediction: InstanceOf[LabelMap]
    reference: InstanceOf[LabelMap]
    labels: tuple[int, ...]
    convention: Convention = "monai"


class FineTuneJob(Job):
    """Teach a checkpoint from corrected cases; the result is a ``FineTuneReport``.

    ``source`` is a correction set or a ``dataset.json``; ``out`` must not exist yet. Where another
    fine-tune was interrupted under that name, the report's ``path`` has a number behind it.
    ``EngineClient.finish`` ends it early and keeps the best weights so far.
    """

    kind = "fine-tune"

    source: Path
    checkpoint: Path
    out: Path
    options: FineTuneOptions = FineTuneOptions()


class Region(BaseModel):
    """A box of a volume's array: where it begins and how long it is, (Z, Y, X)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: tuple[int, int, int]
    shape: tuple[int, int, int]


class ReadyJob(VolumeJob):
    """Get ready for a repair or for teaching, so that neither has to wait; the result is None.

    What they calculate with is loaded, the volume prepared, and in ``region``, where one is named,
    the network asked already.
    """

    kind = "ready"

    checkpoint: Path | None = None
    region: Region | None = None

    def helps(self, other: Job) -> bool:
        """Say whether the other one would do the same first."""
        return isinstance(other, (RepairJob, TeachJob))


class RepairJob(VolumeJob):
    """Solve a region anew from strokes; the result is a ``corrections.boxes.Change``.

    ``start`` (Z, Y, X) and ``labels`` are the region of the working correction, see
    ``RepairOptions.region``; strokes count in the whole volume's voxels. ``fresh`` are those that
    spread now, all where it is None. Without a checkpoint the label map itself is what is believed.
    """

    kind = "repair"

    checkpoint: Path | None = None
    start: tuple[int, int, int]
    labels: InstanceOf[np.ndarray]
    strokes: InstanceOf[Strokes]
    fresh: InstanceOf[Strokes] | None = None
    scheme: LabelScheme
    options: RepairOptions = RepairOptions()


class TeachJob(VolumeJob):
    """Teach the network on strokes and look again; the result is a ``TeachReport``.

    ``start`` and ``labels`` are the region as for ``RepairJob``. What was learnt is written to
    ``delta``, a file that must not exist, where one is named; else it is dropped.
    """

    kind = "teach"

    checkpoint: Path
    start: tuple[int, int, int]
    labels: InstanceOf[np.ndarray]
    strokes: InstanceOf[Strokes]
    delta: Path | None = None
    options: TeachOptions = TeachOptions()


class RankJob(Job):
    """Order a folder's scans by what correcting them would teach; the result is a ``Ranking``."""

    kind = "rank"

    folder: Path
    checkpoint: Path
    options: RankOptions = RankOptions()


class AcceptJob(Job):
    """Put a correction into a set; the result is the ``CorrectionCase``.

    ``checkpoint`` made the network's label map: its card and hash are kept with the case where
    ``correction`` does not hold them and the file is still there.
    """

    kind = "accept"

    folder: Path
    correction: InstanceOf[Correction]
    checkpoint: Path | None = None


class DevicesJob(Job):
    """Look at what networks can run on; the result is a ``DeviceReport``."""

    kind = "devices"


class DeviceReport(BaseModel):
    """What networks can run on here.

    Attributes
    ----------
    devices : dict
        Name as options take it (``"cuda:0"``) to name and memory as people read it, the
        fastest kind first.
    threads : int
        CPU threads that a job gets unless it asks for a number.
    torch_version : str
        What drives them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: dict[str, str]
    threads: int
    torch_version: str
