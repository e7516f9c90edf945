"""What the engine can do: for every kind of job its description and the code that does it.

To add one: describe it in :mod:`napari_hybridseg.engine.jobs`, write a generator of events
here (or beside the code that it calls), and enter both in ``JOB_KINDS``. Imports that load
torch belong inside the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari_hybridseg.engine.jobs import DeviceReport, DevicesJob, Job, ScoreJob, SegmentJob
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.events import Event, Progress, Result


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes
    ----------
    job : type
        Its description, built from the parameters of a request.
    run : callable
        Does it: takes the description and what is kept warm, gives a generator of events that
        ends with a ``Result`` and can be closed at any event.
    """

    job: type[Job]
    run: Callable[[Any, Warm], Iterator[Event]]


def run_segment(job: SegmentJob, warm: Warm) -> Iterator[Event]:
    """Segment a volume with the network that is kept warm."""
    from napari_hybridseg.inference import segment

    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    yield from segment(job.volume, checkpoint, options, network=network)


def run_score(job: ScoreJob, warm: Warm) -> Iterator[Event]:
    """Compare a label map with a reference."""
    from napari_hybridseg.metrics import score

    yield Progress("Scoring", 0, 1)
    yield Result(
        score(
            job.prediction,
            job.reference,
            labels=job.labels,
            tolerance_mm=job.tolerance_mm,
            convention=job.convention,
            threads=warm.threads,
        )
    )


def run_devices(job: DevicesJob, warm: Warm) -> Iterator[Event]:
    """Look at what networks can run on."""
    import torch

    from napari_hybridseg.inference.devices import available_devices

    yield Result(
        DeviceReport(
            devices=available_devices(), threads=warm.threads, torch_version=torch.__version__
        )
    )


JOB_KINDS: Mapping[str, JobKind] = {
    SegmentJob.kind: JobKind(SegmentJob, run_segment),
    ScoreJob.kind: JobKind(ScoreJob, run_score),
    DevicesJob.kind: JobKind(DevicesJob, run_devices),
}
