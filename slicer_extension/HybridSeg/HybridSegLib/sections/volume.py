"""The volume that is looked at: which node, and what its grid is."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.parameters import VOLUME
from HybridSegLib.sections.shown import show_line, show_node

NO_VOLUME = (
    "Drop a scan (.nrrd, .nii.gz, .mha, DICOM) into the window, or take one from Sample Data."
)
ONE_FRAME = (
    "This is one frame of a sequence: Segment can take all of them; Score, Explain and Correct "
    "take the frame that is shown."
)


class VolumeSection:
    """Lists the scene's volumes and describes the chosen one."""

    def __init__(self, ui: Any, controller: Controller) -> None:
        self._ui = ui
        self._controller = controller
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", controller.choosing.volume)
        ui.allFramesBox.connect("clicked(bool)", controller.choosing.all_frames)

    def refresh(self) -> None:
        """Show the state."""
        ui, state = self._ui, self._controller.state
        show_node(ui.volumeSelector, self._controller.parameters.reference(VOLUME))
        ui.allFramesBox.visible = state.has_frames
        ui.allFramesBox.checked = self._controller.parameters.all_frames
        facts = state.volume_facts
        if not state.has_volume:
            show_line(ui.volumeLine, NO_VOLUME)
            show_line(ui.volumeNotes, "")
            return
        show_line(ui.volumeLine, facts.line if facts else "")
        of_frames = [ONE_FRAME] if state.has_frames else []
        notes = (facts.problem or "\n".join([*facts.notes, *of_frames])) if facts else ""
        show_line(ui.volumeNotes, notes, is_error=bool(facts and facts.problem))
