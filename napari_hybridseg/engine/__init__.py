"""The engine process, and the client by which both faces drive it.

Importing this loads no torch: that happens in the engine process alone.
"""

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
