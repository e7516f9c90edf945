"""What the engine can do: for every kind of job its description and the code that does it.

To add one: describe it in :mod:`napari_hybridseg.engine.jobs`, write a generator of events
here (or beside the code that it calls), and enter both in ``JOB_KINDS``. Imports that load
torch belong inside the generator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from napari_hybridseg.engine.jobs import (
    AcceptJob,
    DeviceReport,
    DevicesJob,
    ErrorsJob,
    EstimateJob,
    ExplainJob,
    FineTuneJob,
    Job,
    RankJob,
    ReadyJob,
    RepairJob,
    ScoreJob,
    SegmentJob,
    TeachJob,
)
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.events import Event, Note, Progress, Result


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
    checkpoint, runner = warm.runner(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    yield from segment(job.volume, checkpoint, options, network=runner)


def run_explain(job: ExplainJob, warm: Warm) -> Iterator[Event]:
    """Show what the network that is kept warm sees in a volume."""
    from napari_hybridseg.explain import explain

    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    yield from explain(job.volume, checkpoint, options, network=network)


def run_estimate(job: EstimateJob, warm: Warm) -> Iterator[Event]:
    """Say what a run costs, and time two windows of the network that is kept warm if need be."""
    if job.probe is not None:
        from napari_hybridseg.checkpoint import load_checkpoint
        from napari_hybridseg.inference.estimate import estimate

        card = load_checkpoint(job.checkpoint).card
        yield Result(estimate(job.volume, card, job.options, job.probe))
        return
    from napari_hybridseg.inference.probing import estimate_by_probe

    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    yield from estimate_by_probe(job.volume, checkpoint, options, network=network)


def run_score(job: ScoreJob, warm: Warm) -> Iterator[Event]:
    """Compare a label map with a reference: of what is painted, only what changed."""
    from napari_hybridseg.metrics import Scored, score

    yield Progress("Scoring", 0, 1)
    report = score(
        job.prediction,
        job.reference,
        labels=job.labels,
        tolerance_mm=job.tolerance_mm,
        convention=job.convention,
        threads=warm.threads,
        since=warm.scored,
    )
    warm.scored = Scored(job.prediction, job.reference, report)
    yield Result(report)


def run_errors(job: ErrorsJob, warm: Warm) -> Iterator[Event]:
    """Find where a label map is wrong."""
    from napari_hybridseg.metrics.error_places import find_errors

    yield Progress("Looking for errors", 0, 1)
    yield Result(find_errors(job.prediction, job.reference, job.labels, job.convention))


def run_fine_tune(job: FineTuneJob, warm: Warm) -> Iterator[Event]:
    """Teach a checkpoint; the network that was kept warm makes room for it.

    Faces name files by themselves: where the state of another, interrupted fine-tune lies under a
    name, the next one is taken, and that one can still go on.
    """
    from napari_hybridseg.finetune.job import finetune
    from napari_hybridseg.training.state import StateError

    yield Progress("Reading cases", 0, 1)
    warm.drop()
    warm.return_memory()
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    for out in _names_from(job.out):
        try:
            yield from finetune(job.source, job.checkpoint, out, options, stop=warm.is_finish_asked)
        except StateError as error:
            yield Note(f"Another name is taken: {error}")
        else:
            return


def _names_from(path: Path) -> Iterator[Path]:
    """Give a file's name, and then numbered ones that no file has."""
    yield path
    stem = re.sub(r"-\d{1,3}$", "", path.stem)  # a date is longer
    numbered = (path.with_name(f"{stem}-{number}{path.suffix}") for number in count(2))
    yield from (other for other in numbered if other != path and not other.exists())


def run_ready(job: ReadyJob, warm: Warm) -> Iterator[Event]:
    """Load and ask what a repair would have to wait for."""
    from napari_hybridseg.corrections.assist.jobs import get_ready

    yield Progress("Getting ready", 0, 1)
    predictor = None
    if job.checkpoint is not None:
        checkpoint, network = warm.network(job.checkpoint)
        predictor = warm.predictor(job.volume, checkpoint, network)
    yield from get_ready(job.volume, predictor, job.region)


def run_repair(job: RepairJob, warm: Warm) -> Iterator[Event]:
    """Solve a region anew; the network's probabilities of the last region are kept."""
    from napari_hybridseg.corrections.assist.jobs import repair_region

    if job.checkpoint is None:
        yield from repair_region(job, None)
        return
    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    yield from repair_region(job, warm.predictor(job.volume, checkpoint, network))


def run_teach(job: TeachJob, warm: Warm) -> Iterator[Event]:
    """Teach a copy of the network that is kept warm."""
    from napari_hybridseg.corrections.assist.jobs import teach_region

    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    predictor = warm.predictor(job.volume, checkpoint, network)
    yield from teach_region(job, predictor, checkpoint, options)


def run_rank(job: RankJob, warm: Warm) -> Iterator[Event]:
    """Order scans with the network that is kept warm."""
    from napari_hybridseg.corrections.assist.ranking import rank, scans_in

    yield Progress("Loading the checkpoint", 0, 1)
    checkpoint, network = warm.network(job.checkpoint)
    options = job.options.model_copy(update={"threads": job.options.threads or warm.threads})
    yield from rank(scans_in(job.folder), checkpoint, options, network=network)


def run_accept(job: AcceptJob, warm: Warm) -> Iterator[Event]:
    """Put a correction into a set."""
    from napari_hybridseg.checkpoint import load_checkpoint
    from napari_hybridseg.corrections.accepting import accept

    yield Progress("Accepting the case", 0, 1)
    correction = job.correction
    if job.checkpoint is not None and correction.card is None and job.checkpoint.is_file():
        known = load_checkpoint(job.checkpoint)
        correction = replace(correction, card=known.card, checkpoint_sha256=known.sha256)
    yield Result(accept(job.folder, correction))


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
    ExplainJob.kind: JobKind(ExplainJob, run_explain),
    EstimateJob.kind: JobKind(EstimateJob, run_estimate),
    ScoreJob.kind: JobKind(ScoreJob, run_score),
    ErrorsJob.kind: JobKind(ErrorsJob, run_errors),
    FineTuneJob.kind: JobKind(FineTuneJob, run_fine_tune),
    ReadyJob.kind: JobKind(ReadyJob, run_ready),
    RepairJob.kind: JobKind(RepairJob, run_repair),
    TeachJob.kind: JobKind(TeachJob, run_teach),
    RankJob.kind: JobKind(RankJob, run_rank),
    AcceptJob.kind: JobKind(AcceptJob, run_accept),
    DevicesJob.kind: JobKind(DevicesJob, run_devices),
}
