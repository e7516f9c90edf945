"""Going from organ to organ, and to where it is most wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from HybridSegLib.parameters import LABEL_MAP, REFERENCE
from HybridSegLib.slices import jump_to

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller


class Reviewing:
    """Moves the slices; the engine looks for the errors when they are first asked for.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._task: Any = None
        self._tour: Any = None

    def forget(self) -> None:
        """Forget what was compared."""
        self._task = self._tour = None

    def take(self, task: Any) -> None:
        """Take a finished comparison."""
        self._task, self._tour = task, None

    def visit(self, label: int) -> None:
        """Go to an organ's middle; a second time to its largest error."""
        controller = self._controller
        self._task = self._task or self._scored_before()
        if self._tour is not None:
            self._go(label)
        elif self._task is None:
            controller.say("What was compared is not in the scene any more.")
        elif controller.state.phase.is_busy:
            controller.say("The engine is at work; the errors can be shown when it is done.")
        else:
            job = controller.bench.errors_job(self._task)
            listener = _Errors(self, self._task, label)
            controller.bench.engine.start(job, listener, is_background=True)

    def take_errors(self, task: Any, errors: Any, label: int) -> None:
        """Take what the engine found, unless something else was compared since."""
        controller = self._controller
        if task is not self._task:
            return
        if any(node.GetScene() is None for node in task.compared):
            controller.say("What was compared is not in the scene any more.")
            return
        self._tour = controller.bench.organ_tour(task, errors)
        self._go(label)

    def _scored_before(self) -> Any:
        """Prepare the comparison anew whose scores came with a scene."""
        controller = self._controller
        nodes = [controller.parameters.reference(role) for role in (LABEL_MAP, REFERENCE)]
        if controller.state.score is None or None in nodes:
            return None
        try:
            task = controller.bench.score_task(*nodes)
        except controller.bench.Error as error:
            controller.log.add(str(error))
            return None
        task.score = controller.state.score
        return task

    def fail(self, error: Exception) -> None:
        """Say why there are no errors to see."""
        self._controller.say(self._controller.bench.sentence_for(error))

    def _go(self, label: int) -> None:
        stop = self._tour.visit(label)
        if stop is None:
            self._controller.say("There is no error to go to.")
            return
        jump_to(slicer.mrmlScene, stop.world)
        name = self._task.score.scheme.organ(label).name
        self._controller.say(
            f"{name}: its middle. Click again for its largest error."
            if stop.error_mm is None
            else f"{name}: the largest error, {stop.error_mm:.1f} mm."
        )


class _Errors:
    """Hears where a comparison found errors; see ``seams.JobListener``."""

    def __init__(self, reviewing: Reviewing, task: Any, label: int) -> None:
        self._reviewing = reviewing
        self._task = task
        self._label = label

    def on_event(self, event: Any) -> None:
        """Nothing is shown of it."""

    def on_success(self, value: Any) -> None:
        """Go there."""
        self._reviewing.take_errors(self._task, value, self._label)

    def on_failure(self, error: Exception) -> None:
        """Say why not."""
        self._reviewing.fail(error)

    def on_cancelled(self) -> None:
        """Nothing was lost."""
