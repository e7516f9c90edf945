"""What the user asks of a comparison: the scores, live while painting, and where it is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import QTimer

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.metrics.error_places import Errors
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.error_layers import ErrorLayers
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_data import is_untouched
from napari_hybridseg.widgets.organ_tour import OrganTour, Stop
from napari_hybridseg.widgets.score_watch import ScoreWatch
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState, Phase, Task, why_not_score
from napari_hybridseg.widgets.tasks import ScoreTask

_RETRY_MS = 1000  # until the engine may be free again


class ReviewController:
    """Changes the state for reviewing.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    state : FaceState
    desk : JobDesk
    settings : Settings
    book : LayerBook
    """

    def __init__(
        self, viewer: Any, state: FaceState, desk: JobDesk, settings: Settings, book: LayerBook
    ) -> None:
        self._state = state
        self._desk = desk
        self._settings = settings
        self._book = book
        self._watch = ScoreWatch(book, self._on_edited)
        self._layers = ErrorLayers(viewer, book)
        self._tour = OrganTour(viewer, book)
        self._task: ScoreTask | None = None
        self._first: dict[tuple[str, str], ScoreReport] = {}
        self._errors: Errors | None = None
        self._retry = QTimer()
        self._retry.setSingleShot(True)
        self._retry.setInterval(_RETRY_MS)
        self._retry.timeout.connect(self._score_again)

    def close(self) -> None:
        """Follow the layers no longer."""
        with suppress(RuntimeError):  # at the end of a program Qt may have deleted the timer
            self._retry.stop()
        self._watch.close()

    def choose_label_map(self, key: str) -> None:
        """Take another layer as the label map that is scored."""
        self._state.label_map = key

    def choose_reference(self, key: str) -> None:
        """Take another layer as the reference, and score against it if there is what to score."""
        self._state.reference = key
        if not why_not_score(self._state):
            self.score()

    def choose_rival(self, key: str) -> None:
        """Take a second label map, whose scores stand beside the first one's."""
        self._state.rival = key
        if key and not why_not_score(self._state):
            self.score()
        elif self._state.score is not None:
            self._state.score = self._state.score._replace(rival=None, rival_name="")

    def score(self) -> None:
        """Start a comparison."""
        task = self._prepared(self._state.label_map)
        if task is None or why_not_score(self._state):
            return
        self._begin(task, lambda report: self._show(task, report))

    def show_errors(self, is_wanted: bool) -> None:
        """Show or hide what is too much and what is missing."""
        self._state.shows_errors = is_wanted
        if not is_wanted:
            self._layers.remove()
        elif self._errors is not None:
            self._draw_errors()
        else:
            self._find_errors(self._draw_errors)

    def visit(self, label: int) -> None:
        """Go to an organ's middle; a second time to its largest error."""
        if self._errors is not None:
            self._go(label)
        else:
            self._find_errors(lambda: self._go(label))

    def visit_next_worst(self) -> None:
        """Go to the largest error of the worst organ, then to the next one's."""
        if self._errors is not None:
            self._say_where(self._tour.next_worst(self._errors, self._state.reference))
        else:
            self._find_errors(self.visit_next_worst)

    def _begin(self, task: ScoreTask, on_done: Any) -> None:
        self._desk.begin(Order(Task.SCORE, task.job, "Scoring", on_done=on_done))

    def _prepared(self, key: str) -> ScoreTask | None:
        label_map, reference = self._book.find(key), self._book.find(self._state.reference)
        if label_map is None or reference is None:
            return None
        try:
            rules = self._settings.preferences.score_rules
            return ScoreTask.prepare(label_map, reference, self._book, rules)
        except HybridSegError as error:
            self._desk.fail(error)
            return None

    def _show(self, task: ScoreTask, report: ScoreReport) -> None:
        self._take(task, report)
        rival = self._prepared(self._state.rival) if self._has_rival() else None
        said = f"Scored {task.label_map_name} against {task.reference_name}."
        self._desk.say(said, Phase.DONE)
        if rival is not None:
            self._begin(rival, lambda other: self._show_rival(rival, other))

    def _has_rival(self) -> bool:
        return self._state.rival not in ("", self._state.label_map, self._state.reference)

    def _show_rival(self, task: ScoreTask, report: ScoreReport) -> None:
        score = self._state.score
        if score is not None:
            self._state.score = score._replace(rival=report, rival_name=task.label_map_name)
        self._desk.say(
            f"Scored {task.label_map_name} against {task.reference_name} too.", Phase.DONE
        )

    def _take(self, task: ScoreTask, report: ScoreReport) -> None:
        """Show a report, and follow the layers that it is about."""
        self._task, self._errors = task, None
        self._watch.follow(task.checksums)
        pair = (self._state.label_map, self._state.reference)
        layer = self._book.find(pair[0])
        if layer is not None and is_untouched(layer):
            self._first[pair] = report
        first = self._first.get(pair)
        old = self._state.score
        score = task.finish(report, None if first is report else first)
        if old is not None and old.label_map == score.label_map:
            score = score._replace(rival=old.rival, rival_name=old.rival_name)
        self._state.score_is_stale = self._watch.is_edited()
        self._state.score = score
        if self._state.shows_errors:
            self._find_errors(self._draw_errors)

    def _on_edited(self, is_edited: bool, is_quiet: bool) -> None:
        self._state.score_is_stale = is_edited and self._state.score is not None
        if is_edited and is_quiet:
            self._score_again()

    def _score_again(self) -> None:
        """Score what was painted, beside all else; later if the engine is at work."""
        if not self._state.score_is_stale or why_not_score(self._state):
            if self._state.phase.is_busy and self._state.score_is_stale:
                self._retry.start()
            return
        task = self._prepared(self._state.label_map)
        if task is not None and not self._desk.aside(
            task.job, lambda report: self._take(task, report)
        ):
            self._retry.start()

    def _find_errors(self, then: Any) -> None:
        """Have the engine look for the errors of what was scored last."""
        from napari_hybridseg.engine.jobs import ErrorsJob

        task, score = self._task, self._state.score
        if task is None or score is None:
            return
        job = ErrorsJob(
            prediction=task.job.prediction,
            reference=task.job.reference,
            labels=tuple(organ.label for organ in score.report.organs),
            convention=score.report.convention,
        )

        def take(errors: Errors) -> None:
            if self._task is task:
                self._errors = errors
                then()

        if not self._desk.aside(job, take):
            self._desk.say("The engine is at work; the errors can be shown when it is done.")
            self._state.shows_errors = self._layers.are_shown

    def _draw_errors(self) -> None:
        if self._errors is not None and self._state.shows_errors:
            self._layers.show(self._errors, self._state.reference, self._scheme_name)

    def _go(self, label: int) -> None:
        if self._errors is not None:
            self._say_where(self._tour.visit(label, self._errors, self._state.reference))

    def _say_where(self, stop: Stop | None) -> None:
        if stop is None:
            self._desk.say("There is no error to go to.")
            return
        name = self._scheme_name(stop.label)
        self._desk.say(
            f"{name}: its middle. Click again for its largest error."
            if stop.error_mm is None
            else f"{name}: the largest error, {stop.error_mm:.1f} mm."
        )

    def _scheme_name(self, label: int) -> str:
        score = self._state.score
        return score.scheme.organ(label).name if score else f"label {label}"
