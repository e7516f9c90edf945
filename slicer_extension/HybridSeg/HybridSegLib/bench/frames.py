"""Volumes that are one frame of a sequence, and results that become a sequence beside it."""

from __future__ import annotations

from typing import Any

import slicer


class Frames:
    """The frames of the sequence that a volume node shows one of.

    Parameters
    ----------
    browser : vtkMRMLSequenceBrowserNode
    sequence : vtkMRMLSequenceNode
        Of volume nodes.
    """

    def __init__(self, browser: Any, sequence: Any) -> None:
        self.browser = browser
        self.sequence = sequence

    def __len__(self) -> int:
        """Give the number of frames."""
        return int(self.sequence.GetNumberOfDataNodes())

    @property
    def shown(self) -> str:
        """The index value of the frame that is shown, such as a time."""
        leading = self.browser.GetMasterSequenceNode() or self.sequence
        return str(leading.GetNthIndexValue(self.browser.GetSelectedItemNumber()))

    def title(self, value: str) -> str:
        """Name the frame of an index value, e.g. ``frame 3 of 20``."""
        return f"frame {self.sequence.GetItemNumberFromIndexValue(value) + 1} of {len(self)}"

    def volume(self, index: int) -> Any:
        """Give the volume node of a frame; it lies in the sequence's own scene."""
        return self.sequence.GetNthDataNode(index)

    def results(self, scene: Any, name: str) -> Any:
        """Make a sequence that takes a result a frame, indexed as the volumes are.

        It is in no scene yet, so that a run that is cancelled leaves nothing behind.
        """
        sequence = slicer.vtkMRMLSequenceNode()
        sequence.SetName(scene.GenerateUniqueName(name))
        for field in ("IndexName", "IndexUnit", "IndexType", "NumericIndexValueTolerance"):
            getattr(sequence, f"Set{field}")(getattr(self.sequence, f"Get{field}")())
        return sequence

    def add(self, sequence: Any, index: int, node: Any) -> None:
        """Put a result into the sequence, at its frame's place."""
        sequence.SetDataNodeAtValue(node, self.sequence.GetNthIndexValue(index))

    def show(self, sequence: Any) -> Any:
        """Play a sequence of results together with the volumes, and give the node that shows it."""
        self.browser.GetScene().AddNode(sequence)
        self.browser.AddSynchronizedSequenceNode(sequence)
        self.browser.SetOverwriteProxyName(sequence, True)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browser)
        return self.browser.GetProxyNode(sequence)


def frames_of(volume: Any) -> Frames | None:
    """Give the frames of a volume node; None if it is no part of a sequence."""
    scene = volume.GetScene()
    if scene is None:
        return None
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene):
        sequence = browser.GetSequenceNode(volume)
        if sequence is not None:
            return Frames(browser, sequence)
    return None


def shown_frame(volume: Any) -> str:
    """Give the index value of the frame that a volume node shows; empty without a sequence."""
    frames = frames_of(volume)
    return frames.shown if frames is not None else ""


def other_frame(volume: Any, value: str) -> str:
    """Name the frame of an index value if a volume node shows another one now, else nothing."""
    frames = frames_of(volume) if value else None
    return frames.title(value) if frames is not None and frames.shown != value else ""
