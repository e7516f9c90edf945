"""What the Explain section knows and shows."""

from __future__ import annotations

from psygnal import EventedModel
from pydantic import ConfigDict

from napari_hybridseg.explain import ExplainOptions, Explanation, View
from napari_hybridseg.widgets.state import FaceState


class ExplainState(EventedModel):
    """The state of one Explain section.

    ``views`` is what the chosen checkpoint offers, ``is_picking`` whether a click in the canvas
    chooses the voxel, ``explanation`` what is shown, ``colour_by`` what the colours of sampling
    points tell, and ``region`` the uncertain region that was last gone to, counted from 0.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    views: tuple[View, ...] = ()
    options: ExplainOptions = ExplainOptions()
    is_picking: bool = False
    explanation: Explanation | None = None
    colour_by: str = "head"
    region: int = -1

    @property
    def view(self) -> View | None:
        """The chosen view."""
        return next((view for view in self.views if view.name == self.options.view), None)


def why_not_explain(face: FaceState, state: ExplainState) -> str:
    """Say in one sentence why there is nothing to show yet, or nothing."""
    view = state.view
    if face.phase.is_busy:
        return "Another job is running; wait for it or cancel it."
    if not face.volume or face.volume_facts is None or face.volume_facts.problem:
        return "Open a volume first."
    if view is None:
        return "Choose a checkpoint first; what it can show depends on its network."
    if "point" in view.needs and state.options.point is None:
        return "Click a voxel first: press 'Click a voxel', then click into the picture."
    if "organ" in view.needs and state.options.organ is None:
        return "Choose the organ."
    return ""
