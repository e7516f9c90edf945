"""The HybridSeg panel: its sections put together, in the order of the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QApplication, QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_hybridseg.widgets.checkpoint_section import CheckpointSection
from napari_hybridseg.widgets.controller import Controller
from napari_hybridseg.widgets.cost_watch import CostWatch
from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.inputs import Fold, Line
from napari_hybridseg.widgets.jobs import Engine, JobRunner
from napari_hybridseg.widgets.later import Closable, Later
from napari_hybridseg.widgets.preferences import Preferences
from napari_hybridseg.widgets.report import Log
from napari_hybridseg.widgets.review_controller import ReviewController
from napari_hybridseg.widgets.review_section import ReviewSection
from napari_hybridseg.widgets.segment_section import SegmentSection
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState, Score
from napari_hybridseg.widgets.status_section import StatusSection
from napari_hybridseg.widgets.styling import style_sheet
from napari_hybridseg.widgets.volume_section import VolumeSection

if TYPE_CHECKING:
    import napari.viewer

    from napari_hybridseg.corrections.recovery import Recoverable
    from napari_hybridseg.widgets.correct_part import CorrectPart
    from napari_hybridseg.widgets.explain_part import ExplainPart
    from napari_hybridseg.widgets.teach_part import TeachPart

_WIDTH = 72  # characters: room for the scores beside a canvas, in a window of 1280


def start_engine(on_log: Callable[[str], None]) -> Engine:
    """Give the client of an engine process, which starts with its first job.

    ``on_log`` gets every line that the engine prints, in another thread.
    """
    from napari_hybridseg.engine import EngineClient

    return EngineClient(on_log=on_log, environment=Preferences().engine_environment)


def close_all(*parts: Closable) -> Callable[[], None]:
    """Give what closes these parts in turn; each may be closed more than once."""

    def close() -> None:
        for part in parts:
            with suppress(RuntimeError):  # of Qt, whose timers may be gone before the panel
                part.close()

    return close


class HybridSegWidget(QWidget):
    """The dock widget that the manifest names.

    What is folded away at first, Explain, Correct and Teach, is put together when it is asked for,
    and by itself in the first moments in which nothing else happens: the panel opens faster.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    settings : Settings or None
        Where choices are kept; None is where the user's own are.
    """

    def __init__(self, viewer: napari.viewer.Viewer, settings: Settings | None = None) -> None:
        super().__init__()
        self.state = FaceState()
        self._viewer = viewer
        self._settings = settings or Settings()
        self._runner = JobRunner(start_engine, self)
        self.desk = JobDesk(self.state, self._runner, Log())
        self.controller = Controller(viewer, self.state, self.desk, self._settings)
        self.reviewing = ReviewController(
            viewer, self.state, self.desk, self._settings, self.controller.book
        )
        self.controller.follow_results(self.reviewing.score)
        self.costs = CostWatch(self.state, self.desk, self.controller.book)
        self.volume = VolumeSection(self.state)
        self.checkpoint = CheckpointSection(self.state, self._settings)
        self.segment = SegmentSection(self.state)
        self.review = ReviewSection(self.state, self._settings)
        self._later = Later(
            self.controller.obey_preferences,
            self.controller.look_for_devices,
            lambda: self.explain,
            lambda: self.teach,
            lambda: self.correct,
        )
        self.status = StatusSection(self.state, self.desk.log, self.controller.report)
        self._lay_out()
        self._connect()
        self._end_with_the_window()
        self._later.start()

    @cached_property
    def explain(self) -> ExplainPart:
        """What shows what the network saw."""
        from napari_hybridseg.widgets.explain_part import ExplainPart

        part = ExplainPart(
            self._viewer, self.state, self.desk, self.controller.book, self._settings
        )
        self.explain_fold.body.addWidget(part.section)
        self._later.keep(part)
        return part

    @cached_property
    def teach(self) -> TeachPart:
        """What fine-tunes a checkpoint."""
        from napari_hybridseg.widgets.teach_part import TeachPart

        part = TeachPart(
            self.state,
            self.desk,
            self._settings,
            self.controller.choose_checkpoint,
            self.controller.compare,
        )
        self.teach_fold.body.addWidget(part.section)
        return part

    @cached_property
    def correct(self) -> CorrectPart:
        """What changes labels and keeps the changes."""
        from napari_hybridseg.widgets.correct_part import CorrectPart

        part = CorrectPart(
            self._viewer,
            self.state,
            self.teach.state,
            self.desk,
            self.controller.book,
            self._settings,
            self.teach.controller.choose_set,
            self.teach.controller.choose_start,
            self.reviewing.score,
        )
        self.correct_fold.body.addWidget(part.section)
        part.state.events.recoverable.connect(self._offer_what_is_left)
        self._later.keep(part)
        return part

    def _lay_out(self) -> None:
        """Put everything but the status into a part that scrolls."""
        sections = QWidget()
        column = QVBoxLayout(sections)
        for title, section in (("Volume", self.volume), ("Checkpoint", self.checkpoint)):
            heading = Line("title")
            heading.show_text(title)
            column.addWidget(heading)
            column.addWidget(section)
        self.segment_fold = self._fold("Segment", is_open=True)
        self.segment_fold.body.addWidget(self.segment)
        self.review_fold = self._fold("Review")
        self.review_fold.body.addWidget(self.review)
        self.explain_fold = self._fold("Explain")
        self.correct_fold = self._fold("Correct")
        self.teach_fold = self._fold("Teach")
        for fold in (
            self.segment_fold,
            self.review_fold,
            self.explain_fold,
            self.correct_fold,
            self.teach_fold,
        ):
            column.addWidget(fold)
        column.addStretch(1)
        self._scroll = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(sections)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.status)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * _WIDTH)
        self._dress()

    def _fold(self, title: str, *, is_open: bool = False) -> Fold:
        fold = Fold(title, "section")
        fold.set_open(self._settings.is_open(title, is_open))
        fold.toggled.connect(lambda opened: self._settings.set_open(title, opened))
        return fold

    def _connect(self) -> None:
        controller = self.controller
        self.volume.chosen.connect(controller.choose_volume)
        self.checkpoint.chosen.connect(controller.choose_checkpoint)
        self.segment.device_chosen.connect(controller.choose_device)
        self.segment.quality_chosen.connect(controller.choose_quality)
        self.segment.options_chosen.connect(controller.choose_options)
        reviewing = self.reviewing
        self.review.label_map_chosen.connect(reviewing.choose_label_map)
        self.review.reference_chosen.connect(reviewing.choose_reference)
        self.review.rival_chosen.connect(reviewing.choose_rival)
        self.review.errors_wanted.connect(reviewing.show_errors)
        self.review.next_worst_wanted.connect(reviewing.visit_next_worst)
        self.review.table.picked.connect(reviewing.visit)
        self.review.told.connect(self.desk.say)
        self.segment.button.started.connect(controller.segment)
        self.segment.stop_and_keep_wanted.connect(controller.stop_and_keep)
        self.review.button.started.connect(reviewing.score)
        for button in (self.segment.button, self.review.button):
            button.stopped.connect(self.desk.cancel)
        self.state.events.label_map.connect(self._open_review)
        self.state.events.score.connect(self._show_scores)
        self._viewer.events.theme.connect(self._dress)

    def _open_review(self, key: str) -> None:
        if key:
            self.review_fold.set_open(True)

    def _offer_what_is_left(self, left: Sequence[Recoverable]) -> None:
        if left:
            self.correct_fold.set_open(True)

    def _show_scores(self, score: Score | None) -> None:
        if score is not None:
            # once the table has its new height; a method of the panel is not called when it is gone
            QTimer.singleShot(0, self._reveal_scores)

    def _reveal_scores(self) -> None:
        self._scroll.ensureWidgetVisible(self.review.button)

    def _dress(self, event: object = None) -> None:
        self.setStyleSheet(style_sheet(self._viewer.theme))

    def changeEvent(self, event: QEvent) -> None:
        """End the engine when napari takes the panel out of its dock."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._close()

    def _end_with_the_window(self) -> None:
        # bound to no widget: this one is gone when 'destroyed' is told
        close = self._close = close_all(
            self._later, self.costs, self.reviewing, self.controller, self._runner
        )
        self.destroyed.connect(lambda: close())
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(close)
