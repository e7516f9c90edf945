"""What the user asks of the Teach section: a fine-tune, and what becomes of its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from HybridSegLib.parameters import CHANGES, VOLUME
from HybridSegLib.state import Phase, why_not_segment, why_not_teach

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller


class Teaching:
    """Changes what the state knows of fine-tunes.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._state = controller.state

    def facts(self) -> dict[str, Any]:
        """Give what the state is to know of the chosen options."""
        text = self._controller.parameters.teach_options
        return {"teach_options": self._controller.bench.teaching.options(text)}

    def change(self, **fields: Any) -> None:
        """Take other values of some options."""
        options = self._controller.bench.teaching.changed(self._state.teach_options, **fields)
        self._controller.parameters.teach_options = options.model_dump_json()
        self._controller.look()

    def fine_tune(self) -> None:
        """Start a fine-tune of the chosen checkpoint on the correction set."""
        controller, state = self._controller, self._state
        if state.corrections is not None:
            controller.correcting.choose_set(state.corrections.folder)  # it may have grown
        if why_not_teach(state) or controller.runner is None:
            return
        task = controller.bench.teaching.task(
            state.corrections.folder,
            state.checkpoint,
            state.teach_options,
            state.options.threads,
            lambda curves: state.update(curves=curves),
        )
        state.update(curves={}, tuned=None, is_paused=False, is_finishing=False)
        controller.runner.start(task, "Reading the corrections")

    def finish(self) -> None:
        """End the fine-tune early and keep the best weights so far."""
        if self._is_teaching():
            self._state.update(is_finishing=True, is_paused=False)
            self._controller.bench.engine.steer("finish")
            self._controller.say("Keeping the best weights so far; they are scored now.")

    def pause(self, is_wanted: bool) -> None:
        """Let the fine-tune wait, or go on."""
        if self._is_teaching():
            self._state.update(is_paused=is_wanted)
            self._controller.bench.engine.steer("pause" if is_wanted else "go on")
            self._controller.say("Paused." if is_wanted else "Going on.")

    def take(self, task: Any) -> None:
        """Keep the report, and list the new checkpoint."""
        controller = self._controller
        controller.choosing.remember(task.report.path)
        node = controller.parameters.reference(CHANGES)
        if node is None:
            scene = slicer.mrmlScene
            node = scene.AddNewNodeByClass("vtkMRMLTableNode", "HybridSeg before and after")
            controller.parameters.set_reference(CHANGES, node)
        controller.bench.teaching.write_changes(node, task.report)
        for sentence in task.report.left_out:
            controller.log.add(sentence)
        self._state.update(tuned=task.report)

    def use(self) -> None:
        """Take the new checkpoint."""
        if self._state.tuned is not None:
            self._controller.choosing.checkpoint(self._state.tuned.path)

    def roll_back(self) -> None:
        """Take the parent again."""
        if self._state.tuned is not None:
            self._controller.choosing.checkpoint(self._state.tuned.parent)
            self._controller.say(f"{self._state.tuned.parent.stem} is used again.")

    def compare(self) -> None:
        """Segment the chosen volume with the parent and its child, and show both."""
        controller, report = self._controller, self._state.tuned
        if report is None or why_not_segment(self._state) or controller.runner is None:
            return
        volume = controller.parameters.reference(VOLUME)
        try:
            paths = (report.parent, report.path)
            task = controller.bench.compare_task(volume, paths, self._state.options)
        except controller.bench.Error as error:
            controller.fail(error)
            return
        controller.runner.start(task, "Starting the engine")

    def _is_teaching(self) -> bool:
        return self._state.task == "teach" and self._state.phase is Phase.RUNNING
