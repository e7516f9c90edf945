"""What a run would cost, kept true while the user chooses; the engine is warm for it then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt

from HybridSegLib.parameters import VOLUME
from HybridSegLib.quiet import QuietListener
from HybridSegLib.state import why_not_segment

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller

QUIET_MS = 700


class Costing:
    """Says windows and memory at once, and the time as soon as two windows were timed.

    To time them the engine loads the checkpoint, so that the first run need not.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._state = controller.state
        self._probes: dict[Any, Any] = {}
        self._said: Any = None
        self._is_late = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(QUIET_MS)
        self._timer.connect("timeout()", self._ask)
        self._state.changed.connect(self._catch_up)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._timer.stop()

    def look(self) -> None:
        """Say what the chosen run costs, and have it timed once nothing changes any more."""
        if self._controller.bench is None:
            return
        self._is_late = self._state.phase.is_busy
        if self._is_late:
            return
        volume = self._volume()
        wish = self._wish(volume) if volume is not None else None
        if wish is None or wish != self._said:
            self._said = wish
            self._timer.stop()
            self._state.update(cost=self._estimate(volume) if volume is not None else None)

    def _catch_up(self) -> None:
        """Look at what was chosen while a job ran, once that is over."""
        if self._is_late and not self._state.phase.is_busy and not self._controller.is_closed:
            self.look()

    def _volume(self) -> Any:
        """Give the volume, if it could be segmented now."""
        if self._controller.is_closed or why_not_segment(self._state):
            return None
        return self._controller.parameters.reference(VOLUME)

    def _estimate(self, volume: Any) -> Any:
        controller, state = self._controller, self._state
        bench, probe = controller.bench, self._probes.get(self._key())
        try:
            cost = bench.estimate(volume, state.checkpoint, state.options, probe)
        except bench.Error as error:
            controller.log.add(str(error))
            return None
        # where the body is, only the engine knows
        if probe is None or bench.looks_for_body(state.checkpoint, state.options):
            self._timer.start()
        return cost

    def _ask(self) -> None:
        controller, state = self._controller, self._state
        volume = self._volume()
        if volume is None:
            return
        key, options, wish = self._key(), state.options, self._wish(volume)
        bench = controller.bench
        try:
            job = bench.estimate_job(volume, state.checkpoint, options, self._probes.get(key))
        except bench.Error:
            return  # it is said when a run is asked for

        def take(cost: Any) -> None:
            if cost.probe is not None:
                self._probes[key] = cost.probe
            if wish == self._said:
                state.update(cost=cost)

        def fail(error: Exception) -> None:
            controller.log.add(f"The run was not timed: {bench.sentence_for(error)}")

        if not bench.engine.aside(job, QuietListener(take, fail)):
            self._timer.start()

    def _wish(self, volume: Any) -> Any:
        """Give what the answer depends on."""
        state = self._state
        voxels = volume.GetImageData().GetMTime()
        return volume, voxels, state.volume_facts.line, state.checkpoint.path, state.options

    def _key(self) -> Any:
        facts, options = self._state.checkpoint, self._state.options
        path = str(facts.path) if facts is not None else ""
        return path, options.device, options.backend, options.precision, options.threads
