"""The panel's choices, kept in a node so that they are saved and loaded with the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

VOLUME = "Volume"
LABEL_MAP = "LabelMap"
REFERENCE = "Reference"
RIVAL = "Rival"
SCORES = "Scores"
VOXEL = "ExplainedVoxel"
CORRECTION = "Correction"
CHANGES = "Changes"


class Parameters:
    """Typed access to a vtkMRMLScriptedModuleNode.

    Nodes are kept as references, so that they survive loading a scene into another one;
    everything else as text.

    Parameters
    ----------
    node : vtkMRMLScriptedModuleNode
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    def reference(self, role: str) -> Any:
        """Give the node of a role, or None."""
        return self.node.GetNodeReference(role)

    def set_reference(self, role: str, node: Any) -> None:
        """Put a node, or None, into a role."""
        if self.node.GetNodeReference(role) is not node:
            self.node.SetNodeReferenceID(role, node.GetID() if node is not None else None)

    @property
    def checkpoint(self) -> str:
        """The path of the chosen checkpoint; empty if none is."""
        return str(self.node.GetParameter("Checkpoint"))

    @checkpoint.setter
    def checkpoint(self, path: str) -> None:
        self._set("Checkpoint", path)

    @property
    def checkpoint_stays(self) -> bool:
        """Whether the checkpoint was chosen by somebody, or run: another volume leaves it."""
        if not self.checkpoint:
            return False
        return str(self.node.GetParameter("CheckpointStays")) != "false"

    @checkpoint_stays.setter
    def checkpoint_stays(self, wanted: bool) -> None:
        self._set("CheckpointStays", "true" if wanted else "false")

    @property
    def options(self) -> str:
        """The options of a run as JSON; empty for the defaults."""
        return str(self.node.GetParameter("Options"))

    @options.setter
    def options(self, text: str) -> None:
        self._set("Options", text)

    @property
    def explain_options(self) -> str:
        """The options of an explanation as JSON; empty for the defaults."""
        return str(self.node.GetParameter("ExplainOptions"))

    @explain_options.setter
    def explain_options(self, text: str) -> None:
        self._set("ExplainOptions", text)

    @property
    def teach_options(self) -> str:
        """The options of a fine-tune as JSON; empty for the defaults."""
        return str(self.node.GetParameter("TeachOptions"))

    @teach_options.setter
    def teach_options(self, text: str) -> None:
        self._set("TeachOptions", text)

    @property
    def all_frames(self) -> bool:
        """Whether every frame of a sequence is to be segmented."""
        return str(self.node.GetParameter("AllFrames")) == "true"

    @all_frames.setter
    def all_frames(self, wanted: bool) -> None:
        self._set("AllFrames", "true" if wanted else "false")

    def changed_at_once(self, change: Callable[[], None]) -> None:
        """Make several changes that are told as one."""
        tag = self.node.StartModify()
        try:
            change()
        finally:
            self.node.EndModify(tag)

    def _set(self, name: str, text: str) -> None:
        if self.node.GetParameter(name) != text:
            self.node.SetParameter(name, text)
