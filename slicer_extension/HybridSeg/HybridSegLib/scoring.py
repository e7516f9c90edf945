"""What the user asks of the Review section: what is compared with what, and the scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from HybridSegLib.parameters import LABEL_MAP, REFERENCE, RIVAL, SCORES
from HybridSegLib.state import why_not_score
from HybridSegLib.watch import Watch, edits_of

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller


class Scoring:
    """Changes what the state knows of scores.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._state = controller.state
        self._edits = Watch(self._on_edited)

    def facts(self) -> dict[str, Any]:
        """Give what the state is to know of the two sides."""
        parameters = self._controller.parameters
        label_map, reference = parameters.reference(LABEL_MAP), parameters.reference(REFERENCE)
        return {
            "has_label_map": label_map is not None,
            "has_reference": reference is not None,
            "is_own_reference": label_map is not None and label_map is reference,
        }

    def take_scene(self) -> None:
        """Show the scores that came with a scene."""
        bench, node = self._controller.bench, self._controller.parameters.reference(SCORES)
        self._state.update(score=bench.read_scores(node) if bench else None, score_is_stale=False)

    def close(self) -> None:
        """Follow the scene no longer."""
        self._edits.stop()

    def label_map(self, node: Any) -> None:
        """Take another label map to score."""
        self._controller.parameters.set_reference(LABEL_MAP, node)
        self._controller.look()

    def reference(self, node: Any) -> None:
        """Take another reference, and score against it if there is what to score."""
        parameters = self._controller.parameters
        is_new = node is not None and node is not parameters.reference(REFERENCE)
        parameters.set_reference(REFERENCE, node)
        self._controller.look()
        if is_new and not why_not_score(self._state):
            self.score()

    def rival(self, node: Any) -> None:
        """Take a second label map, whose scores stand beside the first one's."""
        parameters = self._controller.parameters
        is_new = node is not None and node is not parameters.reference(RIVAL)
        parameters.set_reference(RIVAL, node)
        self._controller.look()
        score = self._state.score
        if is_new and self._rival() is not None and not why_not_score(self._state):
            self.score()
        elif node is None and score is not None and score.rival is not None:
            self._keep(score.model_copy(update={"rival": None, "rival_name": ""}))

    def score(self) -> None:
        """Start a comparison."""
        controller = self._controller
        if why_not_score(self._state) or controller.runner is None:
            return
        nodes = [controller.parameters.reference(role) for role in (LABEL_MAP, REFERENCE)]
        try:
            task = controller.bench.score_task(*nodes, self._rival())
        except controller.bench.Error as error:
            controller.fail(error)
            return
        compared = [node for node in (*nodes, self._rival()) if node is not None]
        self._edits.follow(*map(edits_of, compared))
        controller.runner.start(task, "Scoring")

    def take(self, task: Any) -> None:
        """Keep the scores in a table node."""
        self._keep(task.score)
        self._state.update(score_is_stale=self._edits.has_changed)

    def _keep(self, score: Any) -> None:
        parameters = self._controller.parameters
        node = parameters.reference(SCORES)
        if node is None:
            scene = slicer.mrmlScene
            node = scene.AddNewNodeByClass("vtkMRMLTableNode", "HybridSeg scores")
            parameters.set_reference(SCORES, node)
        self._controller.bench.write_scores(node, score)
        self._state.update(score=score)

    def _rival(self) -> Any:
        """Give the second label map, unless it is one of the two that are compared already."""
        parameters = self._controller.parameters
        node = parameters.reference(RIVAL)
        others = (parameters.reference(LABEL_MAP), parameters.reference(REFERENCE))
        return None if node in others else node

    def show_table(self) -> None:
        """Show all scores in Slicer's table view."""
        node = self._controller.parameters.reference(SCORES)
        if node is not None:
            self._controller.bench.show_table(node)

    def save(self, path: Path) -> None:
        """Write every score to a CSV file, or as JSON where the name ends so."""
        controller = self._controller
        try:
            controller.bench.save_scores(self._state.score, path)
        except controller.bench.Error as error:
            controller.say(str(error))
        else:
            controller.say(f"The scores are in {path}.")

    def _on_edited(self) -> None:
        if self._state.score is not None and not self._state.phase.is_busy:
            self._state.update(score_is_stale=True)
