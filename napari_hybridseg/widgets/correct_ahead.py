"""The engine gets ready for a repair while the user still draws."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.boxes import Box, start_of
from napari_hybridseg.engine.jobs import ReadyJob, Region
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.widgets.correct_controller import CorrectController
from napari_hybridseg.widgets.correct_desk import OpenCorrection
from napari_hybridseg.widgets.correct_state import CorrectState
from napari_hybridseg.widgets.desk import JobDesk

_QUIET_MS = 400


class _Wish(NamedTuple):
    correction: str
    region: tuple[tuple[int, int], ...]


class LookAhead:
    """Has loaded what repairs need once a correction is open, and asks the network at strokes.

    Parameters
    ----------
    state : CorrectState
    controller : CorrectController
    desk : JobDesk
    """

    def __init__(self, state: CorrectState, controller: CorrectController, desk: JobDesk) -> None:
        self._state = state
        self._controller = controller
        self._desk = desk
        self._done: _Wish | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._ask)
        state.events.correction.connect(self._wait_a_moment)

    def close(self) -> None:
        """Ask for nothing any more."""
        with suppress(RuntimeError):  # at the end of a program Qt may have deleted the timer
            self._timer.stop()

    def _wait_a_moment(self, correction: Any) -> None:
        if correction is None:
            self._timer.stop()
        else:
            self._timer.start()

    def _ask(self) -> None:
        now = self._controller.correction
        if now is None:
            return
        region = self._region(now)
        wish = _Wish(now.key, tuple((part.start, part.stop) for part in region or ()))
        if wish == self._done:
            return
        origin = now.session.origin
        job = ReadyJob(
            volume=origin.volume,
            checkpoint=origin.checkpoint,
            region=None if region is None else _named(region),
        )
        if self._desk.aside(job, lambda _: None):
            self._done = wish
        else:
            self._timer.start()

    def _region(self, now: OpenCorrection) -> Box | None:
        """Give what a repair would solve anew, if there is a fresh stroke."""
        if not now.strokes.fresh_count:
            return None
        _, fresh = now.strokes.strokes()
        in_slice = self._state.choices.in_slice
        axis = self._controller.editing.shown_slice(now)[0] if in_slice else None
        geometry = now.session.origin.volume.geometry
        try:
            return RepairOptions(axis=axis).region(fresh, geometry.shape, geometry.spacing_zyx)
        except HybridSegError:  # it is said when a repair is asked for
            return None


def _named(region: Box) -> Region:
    z, y, x = (part.stop - part.start for part in region)
    return Region(start=start_of(region), shape=(z, y, x))
