"""Repair and teach as jobs on a region, so that a face need not send a whole label map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_hybridseg.atomic import refuse_unwritable
from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.corrections.assist.delta import save_delta
from napari_hybridseg.corrections.assist.options import RepairOptions, TeachOptions
from napari_hybridseg.corrections.assist.region import RegionPredictor
from napari_hybridseg.corrections.assist.repair import repair
from napari_hybridseg.corrections.assist.reports import TeachReport
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.assist.teaching import teach
from napari_hybridseg.corrections.boxes import Box, Labels
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume


class RepairRegion(Protocol):
    """What is repaired; the engine's ``RepairJob`` is one."""

    volume: Volume
    start: tuple[int, int, int]
    labels: Labels
    strokes: Strokes
    fresh: Strokes | None
    scheme: LabelScheme
    options: RepairOptions


class TeachRegion(Protocol):
    """What is taught; the engine's ``TeachJob`` is one."""

    volume: Volume
    start: tuple[int, int, int]
    labels: Labels
    strokes: Strokes
    delta: Path | None


class BoxOfVolume(Protocol):
    """Where the network is asked; the engine's ``Region`` is one."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]


def get_ready(
    volume: Volume, predictor: RegionPredictor | None, region: BoxOfVolume | None
) -> Iterator[Event]:
    """Do what the first repair would wait for; the last event is a ``Result`` of None.

    Raises
    ------
    CorrectionError
        If the region does not lie in the volume.
    """
    _load_what_repairs_use()
    if predictor is not None and region is not None:
        yield from predictor.kept_probabilities(_box(region.start, region.shape, volume))
    yield Result(None)


def _load_what_repairs_use() -> None:
    """Repair a few voxels: numba compiles once in an installation, and loads in each process."""
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0] = 1
    strokes = Strokes.join([(np.array([[2, 2, 2]]), 1, False)])
    scheme = LabelScheme.from_names({1: "organ"})
    image = labels.astype(np.float32)
    repair(labels, image, strokes, (1.0, 1.0, 1.0), scheme, start=(0, 0, 0))


def repair_region(job: RepairRegion, predictor: RegionPredictor | None) -> Iterator[Event]:
    """Repair a region; the last event is ``Result`` with a :class:`Change`.

    Raises
    ------
    CorrectionError
        If the region does not lie in the volume, or as `repair`.
    """
    box = _box(job.start, job.labels.shape, job.volume)
    found = None if predictor is None else (yield from predictor.kept_probabilities(box))
    yield Progress("Repairing", 0, 1)
    yield Result(
        repair(
            job.labels,
            job.volume.array[0][box],
            job.strokes,
            job.volume.geometry.spacing_zyx,
            job.scheme,
            start=job.start,
            fresh=job.fresh,
            probabilities=found,
            organs=() if predictor is None else predictor.card.labels.ids,
            options=job.options,
        )
    )


def teach_region(
    job: TeachRegion, predictor: RegionPredictor, checkpoint: Checkpoint, options: TeachOptions
) -> Iterator[Event]:
    """Teach on strokes; the last event is ``Result`` with a :class:`TeachReport`.

    Raises
    ------
    CorrectionError
        If the region does not lie in the volume, or as `teach`.
    WriteError
        If the taught change cannot be kept; that is asked first.
    """
    if job.delta is not None:
        refuse_unwritable(job.delta, overwrite=False)
    box = _box(job.start, job.labels.shape, job.volume)
    taught = yield from teach(predictor, job.labels, job.strokes, box, options)
    if job.delta is not None:
        save_delta(job.delta, taught.delta, checkpoint.sha256)
    yield Result(TeachReport(taught.change, job.delta, taught.loss))


def _box(start: tuple[int, int, int], shape: tuple[int, ...], volume: Volume) -> Box:
    z, y, x = (slice(s, s + n) for s, n in zip(start, shape, strict=True))
    fits = all(
        0 <= part.start < part.stop <= length
        for part, length in zip((z, y, x), volume.geometry.shape, strict=True)
    )
    if not fits:
        raise CorrectionError("The region to correct does not lie in the volume; choose it anew.")
    return z, y, x
