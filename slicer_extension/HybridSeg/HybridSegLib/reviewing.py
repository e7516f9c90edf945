"""Going from organ to organ, and to where it is most wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer

from HybridSegLib.parameters import LABEL_MAP, REFERENCE
from HybridSegLib.quiet import QuietListener
from HybridSegLib.slices import jump_to

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller

GONE = "What was compared is not in the scene any more."


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
        self._wish: Callable[[], None] | None = None

    def forget(self) -> None:
        """Forget what was compared."""
        self._task = self._tour = self._wish = None

    def take(self, task: Any) -> None:
        """Take a finished comparison."""
        self._task, self._tour, self._wish = task, None, None

    def visit(self, label: int) -> None:
        """Go to an organ's middle; a second time to its largest error."""
        self._when_found(lambda: self._go(self._tour.visit(label)))

    def visit_next_worst(self) -> None:
        """Go to the largest error of the worst organ, then to the next one's."""
        self._when_found(lambda: self._go(self._tour.next_worst()))

    def _when_found(self, wish: Callable[[], None]) -> None:
        """Do something once it is known where the errors are: at the first time they are found."""
        controller = self._controller
        self._task = self._task or self._scored_before()
        if self._tour is not None:
            wish()
        elif self._task is None:
            return  # it was said why
        elif self._wish is not None:
            self._wish = wish  # they are looked for already
        elif self._ask(self._task):
            self._wish = wish
        else:
            controller.say("The engine is at work; the errors can be shown when it is done.")

    def _ask(self, task: Any) -> bool:
        bench = self._controller.bench

        def take(errors: Any) -> None:
            self.take_errors(task, errors)

        def fail(error: Exception) -> None:
            if task is self._task:
                self._wish = None
                self._controller.say(bench.sentence_for(error))

        def give_way() -> None:
            if task is self._task:
                self._wish = None

        listener = QuietListener(take, fail, give_way)
        taken: bool = bench.engine.aside(bench.errors_job(task), listener, may_wait=True)
        return taken

    def take_errors(self, task: Any, errors: Any) -> None:
        """Take what the engine found, unless something else was compared since."""
        controller = self._controller
        if task is not self._task:
            return
        wish, self._wish = self._wish, None
        if any(node.GetScene() is None for node in task.compared):
            controller.say(GONE)
            return
        self._tour = controller.bench.organ_tour(task, errors)
        if wish is not None:
            wish()

    def _scored_before(self) -> Any:
        """Prepare the comparison anew whose scores came with a scene, or say why it cannot be."""
        controller = self._controller
        score = controller.state.score
        nodes = [controller.parameters.reference(role) for role in (LABEL_MAP, REFERENCE)]
        if score is None or None in nodes:
            controller.say(GONE)
            return None
        if [node.GetName() for node in nodes] != [score.label_map, score.reference]:
            controller.say(
                f"The scores are those of {score.label_map} against {score.reference}; score "
                "again to go to the errors of what is chosen now."
            )
            return None
        try:
            task = controller.bench.score_task(*nodes)
        except controller.bench.Error as error:
            controller.say(str(error))
            return None
        task.score = score
        return task

    def _go(self, stop: Any) -> None:
        if stop is None:
            self._controller.say("There is no error to go to.")
            return
        jump_to(slicer.mrmlScene, stop.world)
        name = self._task.score.scheme.organ(stop.label).name
        self._controller.say(
            f"{name}: its middle. Click again for its largest error."
            if stop.error_mm is None
            else f"{name}: the largest error, {stop.error_mm:.1f} mm."
        )
