"""What the panel asks of the engine, and what becomes of the answer; see ``seams.Task``.

A task is prepared from nodes at once. Its result goes to the volume it was started on, whatever
is chosen, moved or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import slicer

from HybridSegLib.bench.frames import Frames, other_frame, shown_frame
from HybridSegLib.bench.label_maps import SEGMENTATION, grid_of, label_map_of, own_scheme
from HybridSegLib.bench.node_geometry import rigid_to_world
from HybridSegLib.bench.scores import Score
from HybridSegLib.bench.segmentations import (
    CHECKPOINT,
    CHECKPOINT_PATH,
    fill_segmentation,
    show_label_map,
)
from HybridSegLib.bench.volumes import volume_of
from napari_hybridseg.counting import counted
from napari_hybridseg.engine.jobs import ScoreJob, SegmentJob
from napari_hybridseg.events import Event, Progress
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.volume import LabelMap, VolumeError
from napari_hybridseg.widgets.facts import CheckpointFacts


class SegmentTask:
    """One run of a checkpoint on a volume; ``result`` is the segmentation node in the end."""

    name = "segment"

    def __init__(
        self, scene: Any, volume: Any, checkpoint: CheckpointFacts, options: SegmentOptions
    ) -> None:
        described = volume_of(volume)
        self.result: Any = None
        self.notes: Sequence[str] = ()
        self.volume = volume
        self._scene = scene
        self._checkpoint = _name_of(checkpoint)
        self._path = checkpoint.path
        self._shape = described.source.shape
        self._frame = shown_frame(volume)
        self._label_map: LabelMap | None = None
        self._jobs = [
            SegmentJob(volume=described, checkpoint=checkpoint.path, options=options),
        ]

    @property
    def title(self) -> str:
        """The checkpoint's name."""
        return self._checkpoint

    def next_job(self) -> SegmentJob | None:
        """Give the one job."""
        return self._jobs.pop() if self._jobs else None

    def hear(self, event: Event) -> Event:
        """Show every event."""
        return event

    def take(self, value: LabelMap) -> None:
        """Take the label map."""
        self._label_map = value

    def finish(self) -> str:
        """Put the segmentation into the scene.

        Raises
        ------
        VolumeError
            If the volume's voxels were exchanged meanwhile.
        """
        assert self._label_map is not None
        _refuse_changed(self.volume, self._shape)
        self._scene.SaveStateForUndo()
        self.result = show_label_map(self._scene, self._label_map, self.volume, self._checkpoint)
        self.result.SetAttribute(CHECKPOINT_PATH, str(self._path))
        self.notes = self._label_map.notes
        is_gone = self.volume.GetScene() is None
        other = other_frame(self.volume, self._frame)
        return (
            f"Segmented {self.volume.GetName()}: the result is the segmentation "
            f"'{self.result.GetName()}'"
            + (" (its volume was closed meanwhile)." if is_gone else ".")
            + (f" It is of {other}, which is not the one that is shown now." if other else "")
        )


class FramesTask:
    """A checkpoint on every frame of a sequence; ``result`` shows the frame that is shown."""

    name = "segment"

    def __init__(
        self,
        scene: Any,
        volume: Any,
        frames: Frames,
        checkpoint: CheckpointFacts,
        options: SegmentOptions,
    ) -> None:
        self.result: Any = None
        self.notes: Sequence[str] = ()
        self.volume = volume
        self._scene = scene
        self._frames = frames
        self._checkpoint = checkpoint
        self._options = options
        self._begun = 0
        self._title = f"{volume.GetName()} · {_name_of(checkpoint)}"
        self._results = frames.results(scene, self._title)
        volume_of(frames.volume(0), under=volume)

    def next_job(self) -> SegmentJob | None:
        """Give the job of the next frame."""
        if self._begun == len(self._frames):
            return None
        volume = volume_of(self._frames.volume(self._begun), under=self.volume)
        self._begun += 1
        return SegmentJob(volume=volume, checkpoint=self._checkpoint.path, options=self._options)

    def hear(self, event: Event) -> Event:
        """Say of which frame an event is."""
        if isinstance(event, Progress):
            return replace(
                event, stage=f"Frame {self._begun} of {len(self._frames)}: {event.stage}"
            )
        return event

    def take(self, value: LabelMap) -> None:
        """Keep a frame's result; the scene gets all of them together.

        Raises
        ------
        VolumeError
            If the frame's voxels were exchanged meanwhile.
        """
        index = self._begun - 1
        _refuse_changed(self._frames.volume(index), value.source.shape, self.volume)
        frame = slicer.vtkMRMLSegmentationNode()
        frame.SetName(self._title)
        fill_segmentation(frame, value, self._frames.volume(index))
        frame.SetAttribute(CHECKPOINT, _name_of(self._checkpoint))
        frame.SetAttribute(CHECKPOINT_PATH, str(self._checkpoint.path))
        self._frames.add(self._results, index, frame)
        self.notes = (*self.notes, *(note for note in value.notes if note not in self.notes))

    def finish(self) -> str:
        """Put a sequence of segmentations beside the volumes."""
        self._scene.SaveStateForUndo()
        self.result = self._frames.show(self._results)
        self.result.SetAndObserveTransformNodeID(self.volume.GetTransformNodeID())
        frames = counted(len(self._frames), "frame")
        return f"Segmented {frames}: the result is the sequence '{self._results.GetName()}'."


class CompareTask:
    """Two checkpoints on one volume; ``result`` is the second one's segmentation node."""

    name = "compare"

    def __init__(
        self,
        scene: Any,
        volume: Any,
        checkpoints: Sequence[CheckpointFacts],
        options: SegmentOptions,
    ) -> None:
        self.result: Any = None
        self.notes: Sequence[str] = ()
        self.volume = volume
        self._parts = [SegmentTask(scene, volume, facts, options) for facts in checkpoints]
        self._begun = 0

    def next_job(self) -> SegmentJob | None:
        """Give the next checkpoint's job."""
        if self._begun == len(self._parts):
            return None
        self._begun += 1
        return self._parts[self._begun - 1].next_job()

    def hear(self, event: Event) -> Event:
        """Say of which checkpoint an event is."""
        if isinstance(event, Progress):
            return replace(event, stage=f"{self._parts[self._begun - 1].title}: {event.stage}")
        return event

    def take(self, value: LabelMap) -> None:
        """Take a label map."""
        self._parts[self._begun - 1].take(value)

    def finish(self) -> str:
        """Put both segmentations into the scene; the first one as outlines."""
        for part in self._parts:
            part.finish()
        self.result = self._parts[-1].result
        first = self._parts[0].result.GetDisplayNode()
        first.SetVisibility2DFill(False)
        names = " and ".join(part.title for part in self._parts)
        return (
            f"Segmented {self.volume.GetName()} with {names}; the first is drawn as outlines. "
            "Choose either under Review to score it."
        )


class ScoreTask:
    """One comparison of two segmentations or label maps; ``score`` is there in the end."""

    name = "score"

    def __init__(self, label_map: Any, reference: Any) -> None:
        self.score: Score | None = None
        self.compared = (label_map, reference)
        with grid_of(reference) as grid:
            prediction, truth = compared_maps(label_map, reference, grid)
        self._scheme = prediction.scheme
        self.job = ScoreJob(prediction=prediction, reference=truth)
        self._jobs = [self.job]

    def next_job(self) -> ScoreJob | None:
        """Give the one job."""
        return self._jobs.pop() if self._jobs else None

    def hear(self, event: Event) -> Event:
        """Show every event."""
        return event

    def take(self, value: ScoreReport) -> None:
        """Take the report."""
        names = [node.GetName() for node in self.compared]
        self.score = Score(
            report=value, label_map=names[0], reference=names[1], scheme=self._scheme
        )

    def finish(self) -> str:
        """Say what was compared."""
        assert self.score is not None
        return f"Scored {self.score.label_map} against {self.score.reference}."


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


def _refuse_changed(volume: Any, shape: tuple[int, ...], under: Any = None) -> None:
    if volume_of(volume, under).source.shape != shape:
        raise VolumeError(
            f"The volume '{volume.GetName()}' was changed while it was segmented, so the "
            "result does not fit any more; run it again."
        )


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


def _name_of(checkpoint: CheckpointFacts) -> str:
    return checkpoint.card.name if checkpoint.card else checkpoint.path.stem
