"""The Explain section with what moves it, and the dock for its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.explain_chart import ExplainChart
from napari_hybridseg.widgets.explain_controller import ExplainController
from napari_hybridseg.widgets.explain_section import ExplainSection
from napari_hybridseg.widgets.explain_state import ExplainState
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState

if TYPE_CHECKING:
    from napari_hybridseg.explain import Explanation


class ExplainPart:
    """Puts together the state, the section, the chart and the controller.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    face : FaceState
    desk : JobDesk
    book : LayerBook
    settings : Settings
    """

    def __init__(
        self, viewer: Any, face: FaceState, desk: JobDesk, book: LayerBook, settings: Settings
    ) -> None:
        self._viewer = viewer
        self.state = ExplainState()
        self.controller = ExplainController(viewer, face, self.state, desk, book)
        self.section = ExplainSection(face, self.state, settings)
        self.chart = ExplainChart()
        self._dock: Any = None
        section, controller = self.section, self.controller
        section.view_chosen.connect(controller.choose_view)
        section.options_chosen.connect(controller.choose_options)
        section.picking_wanted.connect(controller.pick)
        section.doubt_wanted.connect(controller.show_doubt)
        section.next_doubt_wanted.connect(controller.visit_next_doubt)
        section.figure_wanted.connect(controller.save_figure)
        section.data_wanted.connect(controller.save_data)
        section.button.started.connect(controller.show)
        section.button.stopped.connect(desk.cancel)
        section.colour_chosen.connect(controller.colour_points)
        self.chart.token_picked.connect(controller.show_token)
        self.chart.region_picked.connect(controller.visit_doubt)
        self.state.events.explanation.connect(self._show_chart)
        self.state.events.region.connect(self.chart.show_region)

    def close(self) -> None:
        """Follow the viewer no longer."""
        self.controller.close()

    def _show_chart(self, explanation: Explanation | None) -> None:
        """Show numbers in a dock under the picture, which comes and goes with them."""
        if not self.chart.show_explanation(explanation, self.controller.volume):
            if self._dock is not None and self.chart.is_empty:
                self._dock.hide()
            return
        if self._dock is None:
            self._dock = self._viewer.window.add_dock_widget(
                self.chart, name="HybridSeg numbers", area="bottom"
            )
            _keep_height_beside(self.section.window())
        else:
            self._dock.show()


def _keep_height_beside(window: QWidget) -> None:
    """Let what is docked at the right reach down to the edge of the window."""
    if isinstance(window, QMainWindow):
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
