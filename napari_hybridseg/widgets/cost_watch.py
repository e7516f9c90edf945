"""What a run would cost, kept true while the user chooses."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import QTimer

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.estimate import Estimate, Probe, estimate
from napari_hybridseg.inference.run_plan import looks_for_body
from napari_hybridseg.volume import OnGrid
from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_data import volume_of_layer
from napari_hybridseg.widgets.layer_geometry import grid_of_layer
from napari_hybridseg.widgets.state import FaceState, why_not_segment

_QUIET_MS = 700
_Key = tuple[str, str, str, str, int]


class CostWatch:
    """Says windows and memory at once, and the time as soon as two windows were timed.

    Where only the body is segmented, the engine corrects the number of windows a moment later.

    Parameters
    ----------
    state : FaceState
    desk : JobDesk
    book : LayerBook
    """

    def __init__(self, state: FaceState, desk: JobDesk, book: LayerBook) -> None:
        self._state = state
        self._desk = desk
        self._book = book
        self._probes: dict[_Key, Probe] = {}
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._ask)
        events = state.events
        for signal in (events.volume, events.volume_facts, events.checkpoint, events.options):
            signal.connect(self._refresh)
        events.phase.connect(self._refresh)
        self._refresh()

    def close(self) -> None:
        """Ask for nothing any more."""
        with suppress(RuntimeError):  # at the end of a program Qt may have deleted the timer
            self._timer.stop()

    def _refresh(self, _: Any = None) -> None:
        state = self._state
        if why_not_segment(state) or state.checkpoint is None or state.checkpoint.card is None:
            self._timer.stop()
            if not state.phase.is_busy:
                state.cost = None
            return
        layer = self._book.find(state.volume)
        if layer is None:
            return
        probe = self._probes.get(self._key())
        try:
            grid = grid_of_layer(layer, self._book.layers)
            place = OnGrid(grid.geometry, grid.source)
            state.cost = estimate(place, state.checkpoint.card, state.options, probe)
        except HybridSegError as error:
            self._desk.log.add(str(error))
            state.cost = None
            return
        # where the body is, only the engine knows
        if probe is None or looks_for_body(state.options, state.checkpoint.card, ""):
            self._timer.start()

    def _ask(self) -> None:
        from napari_hybridseg.engine.jobs import EstimateJob

        state = self._state
        layer = self._book.find(state.volume)
        if why_not_segment(state) or layer is None or state.checkpoint is None:
            return
        key = self._key()
        try:
            volume = volume_of_layer(layer, self._book.layers)
        except HybridSegError:
            return
        job = EstimateJob(
            volume=volume,
            checkpoint=state.checkpoint.path,
            options=state.options,
            probe=self._probes.get(key),
        )

        def take(answer: Estimate) -> None:
            if answer.probe is not None:
                self._probes[key] = answer.probe
            if key == self._key() and job.options == state.options:
                state.cost = answer

        if not self._desk.aside(job, take):
            self._timer.start()

    def _key(self) -> _Key:
        options, facts = self._state.options, self._state.checkpoint
        path = str(facts.path) if facts is not None else ""
        return path, options.device, options.backend, options.precision, options.threads
