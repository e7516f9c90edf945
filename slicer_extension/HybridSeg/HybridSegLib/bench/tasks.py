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
from HybridSegLib.bench.segmentations import (
    CHECKPOINT,
    CHECKPOINT_PATH,
    fill_segmentation,
    show_label_map,
)
from HybridSegLib.bench.volumes import volume_of
from napari_hybridseg.counting import counted
from napari_hybridseg.engine.jobs import SegmentJob
from napari_hybridseg.events import Event, Progress, RegionDone
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.partial import PartialLabels
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
        self._is_whole = True
        self.can_keep = options.live
        self._parts: PartialLabels | None = None
        if options.live and checkpoint.card is not None:
            self._parts = PartialLabels(described, checkpoint.card.labels)
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
        """Keep finished parts for whoever stops the run; show every event."""
        if self._parts is not None and isinstance(event, RegionDone):
            self._parts.take(event)
        return event

    def keep(self) -> bool:
        """Take what is finished so far as the label map, if anything is."""
        if self._label_map is not None:
            return True  # it was finished in this very moment
        if self._parts is None or not self._parts.part:
            return False
        self._label_map, self._is_whole = self._parts.label_map(), False
        return True

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
        self.result = show_label_map(
            self._scene,
            self._label_map,
            self.volume,
            self._checkpoint,
            path=str(self._path),
            is_whole=self._is_whole,
        )
        self.notes = self._label_map.notes
        is_gone = self.volume.GetScene() is None
        other = other_frame(self.volume, self._frame)
        did = "Segmented" if self._is_whole else "Stopped segmenting"
        return (
            f"{did} {self.volume.GetName()}: the result is the segmentation "
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
    """Two checkpoints on one volume; ``rival`` and ``result`` are their segmentation nodes."""

    name = "compare"

    def __init__(
        self,
        scene: Any,
        volume: Any,
        checkpoints: Sequence[CheckpointFacts],
        options: SegmentOptions,
    ) -> None:
        self.result: Any = None
        self.rival: Any = None
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
        self.rival, self.result = (part.result for part in self._parts)
        self.rival.GetDisplayNode().SetVisibility2DFill(False)
        names = " and ".join(part.title for part in self._parts)
        return (
            f"Segmented {self.volume.GetName()} with {names}; the first is drawn as outlines. "
            "Choose a reference under Review to score both."
        )


def _refuse_changed(volume: Any, shape: tuple[int, ...], under: Any = None) -> None:
    if volume_of(volume, under).source.shape != shape:
        raise VolumeError(
            f"The volume '{volume.GetName()}' was changed while it was segmented, so the "
            "result does not fit any more; run it again."
        )


def _name_of(checkpoint: CheckpointFacts) -> str:
    return checkpoint.card.name if checkpoint.card else checkpoint.path.stem
