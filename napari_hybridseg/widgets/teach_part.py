"""The Teach section with what moves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState
from napari_hybridseg.widgets.teach_controller import TeachController
from napari_hybridseg.widgets.teach_section import TeachSection
from napari_hybridseg.widgets.teach_state import TeachState


class TeachPart:
    """Puts together the state, the section and the controller.

    Parameters
    ----------
    face : FaceState
    desk : JobDesk
    settings : Settings
    choose_checkpoint : callable
        Takes the checkpoint of a path.
    compare : callable
        Segments the chosen volume with two checkpoints, the parent and its child, and shows both.
    """

    def __init__(
        self,
        face: FaceState,
        desk: JobDesk,
        settings: Settings,
        choose_checkpoint: Callable[[Path], None],
        compare: Callable[[Path, Path], None],
    ) -> None:
        self.state = TeachState()
        self.controller = TeachController(face, self.state, desk, settings, choose_checkpoint)
        self.section = TeachSection(face, self.state, settings)
        self._compare = compare
        section, controller = self.section, self.controller
        section.set_chosen.connect(controller.choose_set)
        section.options_chosen.connect(controller.choose_options)
        section.start_chosen.connect(controller.choose_start)
        section.finish_wanted.connect(controller.finish)
        section.pause_wanted.connect(controller.pause)
        section.use_wanted.connect(controller.use)
        section.roll_back_wanted.connect(controller.roll_back)
        section.compare_wanted.connect(self._compare_both)
        section.button.started.connect(controller.fine_tune)
        section.button.stopped.connect(desk.cancel)

    def _compare_both(self) -> None:
        report = self.state.report
        if report is not None:
            self._compare(report.parent, report.path)
