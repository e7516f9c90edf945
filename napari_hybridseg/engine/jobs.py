"""The jobs that the engine can be given.

A job describes what is to be done and holds no code that does it: that is in
:mod:`napari_hybridseg.engine.kinds`, which only the engine process imports. This module
imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, InstanceOf

from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics import Convention
from napari_hybridseg.volume import LabelMap, Volume


class Job(BaseModel):
    """Base of every job; ``kind`` is its name in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]


class VolumeJob(Job):
    """Base of the jobs on one volume, which stays at hand for the next of them."""

    volume: InstanceOf[Volume]


class SegmentJob(VolumeJob):
    """Name the organs in a volume; the result is a ``LabelMap``."""

    kind = "segment"

    checkpoint: Path
    options: SegmentOptions = SegmentOptions()


class ScoreJob(Job):
    """Compare a label map with a reference; the result is a ``ScoreReport``."""

    kind = "score"

    prediction: InstanceOf[LabelMap]
    reference: InstanceOf[LabelMap]
    labels: tuple[int, ...] | dict[int, str] | None = None
    tolerance_mm: float = 1.0
    convention: Convention = "monai"


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
