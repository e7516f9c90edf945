"""The engine process, and the client by which both faces drive it.

Importing this loads no torch: that happens in the engine process alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hybridseg.engine.client import EngineClient
    from napari_hybridseg.engine.failures import EngineDied, EngineError, JobCancelled, JobFailed
    from napari_hybridseg.engine.jobs import (
        DeviceReport,
        DevicesJob,
        EstimateJob,
        ExplainJob,
        FineTuneJob,
        Job,
        ScoreJob,
        SegmentJob,
        VolumeJob,
    )
    from napari_hybridseg.engine.scratch import ScratchError

__all__ = [
    "DeviceReport",
    "DevicesJob",
    "EngineClient",
    "EngineDied",
    "EngineError",
    "EstimateJob",
    "ExplainJob",
    "FineTuneJob",
    "Job",
    "JobCancelled",
    "JobFailed",
    "ScoreJob",
    "ScratchError",
    "SegmentJob",
    "VolumeJob",
]

_ROOMS = ("client", "failures", "jobs", "scratch")


def __getattr__(name: str) -> Any:
    """Find a name when it is asked for: a panel opens before it needs the jobs' options."""
    if name in __all__:
        for room in _ROOMS:
            found = getattr(import_module(f"{__name__}.{room}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
