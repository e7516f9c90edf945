"""Comparing label maps: what is asked of the engine, and the scores that come of it."""

from __future__ import annotations

from typing import Any

from HybridSegLib.bench.label_maps import SEGMENTATION, grid_of, label_map_of, own_scheme
from HybridSegLib.bench.node_geometry import rigid_to_world
from HybridSegLib.bench.scores import Score
from napari_hybridseg.engine.jobs import ScoreJob
from napari_hybridseg.events import Event
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.volume import LabelMap, VolumeError


class ScoreTask:
    """One comparison of two segmentations or label maps; ``score`` is there in the end."""

    name = "score"

    def __init__(self, label_map: Any, reference: Any, rival: Any = None) -> None:
        self.score: Score | None = None
        self.compared = (label_map, reference)
        with grid_of(reference) as grid:
            prediction, truth = compared_maps(label_map, reference, grid)
            other = None if rival is None else _other_map(rival, reference, grid, prediction)
        self._scheme = prediction.scheme
        self.job = ScoreJob(prediction=prediction, reference=truth)
        self._jobs = [self.job]
        self._rival_name = ""
        if other is not None:
            self._rival_name = rival.GetName()
            self._jobs.append(ScoreJob(prediction=other, reference=truth))

    def next_job(self) -> ScoreJob | None:
        """Give the comparison, then the rival's."""
        return self._jobs.pop(0) if self._jobs else None

    def hear(self, event: Event) -> Event:
        """Show every event."""
        return event

    def take(self, value: ScoreReport) -> None:
        """Take the report, then the rival's."""
        if self.score is not None:
            self.score = self.score.model_copy(
                update={"rival": value, "rival_name": self._rival_name}
            )
            return
        names = [node.GetName() for node in self.compared]
        self.score = Score(
            report=value, label_map=names[0], reference=names[1], scheme=self._scheme
        )

    def finish(self) -> str:
        """Say what was compared."""
        assert self.score is not None
        both = " and ".join(filter(None, (self.score.label_map, self.score.rival_name)))
        return f"Scored {both} against {self.score.reference}."


def compared_maps(label_map: Any, reference: Any, grid: Any) -> tuple[LabelMap, LabelMap]:
    """Read two nodes for a comparison; a side without names gets the other's.

    Raises
    ------
    VolumeError
        If one cannot be read, or they are bent by different transforms.
    """
    _refuse_bent(label_map, reference)
    known = own_scheme(label_map)
    if known is not None:
        return label_map_of(label_map, grid), label_map_of(reference, grid, known)
    truth = label_map_of(reference, grid)
    return label_map_of(label_map, grid, truth.scheme), truth


def _other_map(rival: Any, reference: Any, grid: Any, first: LabelMap) -> LabelMap:
    """Read a second label map, its organs numbered as the first one's."""
    _refuse_bent(rival, reference)
    return label_map_of(rival, grid, first.scheme)


def _refuse_bent(label_map: Any, reference: Any) -> None:
    if label_map.IsA(SEGMENTATION):
        return  # its export applies whatever transform there is
    if label_map.GetTransformNodeID() == reference.GetTransformNodeID():
        return
    for node in (label_map, reference):
        if rigid_to_world(node) is None:
            raise VolumeError(
                f"'{node.GetName()}' is under a transform that bends or stretches it, and the "
                "other side is not; harden the transform (Transforms module), then score."
            )
