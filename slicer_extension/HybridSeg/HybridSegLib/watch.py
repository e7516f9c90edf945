"""Noticing that a node was changed by somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer
import vtk


class Watch:
    """Calls back when one of the events that it follows comes.

    Parameters
    ----------
    on_change : callable
        Takes nothing.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.has_changed = False
        self._on_change = on_change
        self._observed: list[tuple[Any, int]] = []

    def follow(self, *subjects: tuple[Any, Iterable[int]]) -> None:
        """Follow these events of these VTK objects, and no others."""
        self.stop()
        self.has_changed = False
        for subject, events in subjects:
            for event in events:
                self._observed.append((subject, subject.AddObserver(event, self._on_event)))

    def stop(self) -> None:
        """Follow nothing."""
        for subject, tag in self._observed:
            subject.RemoveObserver(tag)
        self._observed.clear()

    def _on_event(self, caller: Any, event: str) -> None:
        self.has_changed = True
        self._on_change()


def edits_of(node: Any) -> tuple[Any, list[int]]:
    """Give what is to be followed to hear of edits of a segmentation or label map."""
    if node.IsA("vtkMRMLSegmentationNode"):
        # the editor's undo tells of the segment alone
        what = ("SourceRepresentationModified", "SegmentModified", "SegmentAdded", "SegmentRemoved")
        return node.GetSegmentation(), [getattr(slicer.vtkSegmentation, name) for name in what]
    return node, [slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent]


def changes_of(volume: Any) -> tuple[Any, list[int]]:
    """Give what is to be followed to hear of a volume's new voxels, grid, name or transform."""
    return volume, [
        slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
        slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        vtk.vtkCommand.ModifiedEvent,
    ]


def placements_of(markups: Any) -> tuple[Any, list[int]]:
    """Give what is to be followed to hear of a point that was placed, or moved by hand."""
    return markups, [markups.PointPositionDefinedEvent, markups.PointEndInteractionEvent]
