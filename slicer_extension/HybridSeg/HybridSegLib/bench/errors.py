"""Where two maps differ most, organ by organ, as world places."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from HybridSegLib.bench.label_maps import grid_of
from HybridSegLib.slices import world_of_voxel
from napari_hybridseg.engine.jobs import ErrorsJob, ScoreJob
from napari_hybridseg.metrics.error_places import Errors, Place
from napari_hybridseg.metrics.scores import ScoreReport

World = tuple[float, float, float]


class Stop(NamedTuple):
    """Where a click leads: an organ's middle, or its largest error of so many millimetres."""

    label: int
    world: World
    error_mm: float | None = None


class OrganTour:
    """Where the organs of a comparison are, and where they are most wrong.

    Parameters
    ----------
    reference : vtkMRMLNode
        The segmentation or label map on whose grid the errors lie.
    job : ScoreJob
        What was compared.
    errors : Errors
    """

    def __init__(self, reference: Any, job: ScoreJob, errors: Errors) -> None:
        self._last = (0, False)
        self._middles: dict[int, Stop] = {}
        self._worst: dict[int, Stop] = {}
        with grid_of(reference) as grid:
            for places in errors.places:
                label, worst = places.label, places.worst
                if places.centroid is not None:
                    world = _world(grid, job, places.centroid)
                    self._middles[label] = Stop(label, world)
                if worst is not None and worst.length_mm > 0:
                    world = _world(grid, job, worst.start)
                    self._worst[label] = Stop(label, world, worst.length_mm)

    def next_worst(self) -> Stop | None:
        """Give the largest error of all, and after that the next smaller one, organ by organ."""
        wrong = sorted(self._worst.values(), key=lambda stop: -(stop.error_mm or 0.0))
        if not wrong:
            return None
        labels = [stop.label for stop in wrong]
        label, was_error = self._last
        is_on_tour = was_error and label in labels
        stop = wrong[(labels.index(label) + 1) % len(labels) if is_on_tour else 0]
        self._last = (stop.label, True)
        return stop

    def visit(self, label: int) -> Stop | None:
        """Give an organ's middle, or its largest error if its middle was the last stop."""
        is_second = self._last == (label, False) and label in self._worst
        stop = (self._worst if is_second else self._middles).get(label)
        self._last = (label, is_second)
        return stop


def errors_job(job: ScoreJob, report: ScoreReport) -> ErrorsJob:
    """Ask where what was compared is wrong."""
    return ErrorsJob(
        prediction=job.prediction,
        reference=job.reference,
        labels=tuple(organ.label for organ in report.organs),
        convention=report.convention,
    )


def _world(grid: Any, job: ScoreJob, voxel: Place) -> World:
    """Give the world place of a voxel (Z, Y, X) of the reference's canonical grid."""
    reference = job.reference
    point = reference.geometry.world(np.asarray(voxel, dtype=np.float64))
    return world_of_voxel(grid, reference.source.index(point).tolist())
