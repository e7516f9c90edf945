"""What the user asks of the Explain section."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer

from HybridSegLib.aside import Aside
from HybridSegLib.parameters import VOLUME, VOXEL
from HybridSegLib.seams import Placing
from HybridSegLib.slices import jump_to
from HybridSegLib.state import why_not_explain
from HybridSegLib.watch import Watch, placements_of

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller

MARK_NAME = "explained voxel"


class Explaining:
    """Changes what the state knows of explanations.

    Parameters
    ----------
    controller : Controller
    placing : Placing
    """

    def __init__(self, controller: Controller, placing: Placing) -> None:
        self._controller = controller
        self._state = controller.state
        self._placing = placing
        # not from within the click: the views are still at it
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", self._take_point)
        self._watch = Watch(self._soon.start)
        self._aside = Aside()
        self._listed: Any = None
        self._explained: Any = None
        self._places: tuple[Any, ...] = ()
        self._region = -1

    def close(self) -> None:
        """Follow the scene no longer; what is being saved is saved."""
        self._soon.stop()
        self._watch.stop()
        self._aside.close()
        self._state.is_saving = False

    def take_scene(self) -> None:
        """Forget what was shown in another scene."""
        self._explained, self._places, self._region = None, (), -1
        self._state.update(explanation=None, regions=(), is_picking=False)
        node = self._controller.parameters.reference(VOXEL)
        if node is not None:
            self._watch.follow(placements_of(node))

    def facts(self, checkpoint: Any) -> dict[str, Any]:
        """Give what the state is to know of the chosen checkpoint's views."""
        bench, card = self._controller.bench, checkpoint.card if checkpoint else None
        views = self._state.views
        if card is not self._listed:
            self._listed = card
            try:
                views = bench.explaining.views(card)
            except bench.Error as error:
                self._controller.log.add(str(error))
                views = ()
        text = self._controller.parameters.explain_options
        return {"views": views, "explain_options": bench.explaining.options(text, views, card)}

    def choose_options(self, options: Any) -> None:
        """Take other options; what another view or place does not know goes to its default."""
        parameters = self._controller.parameters
        parameters.explain_options = options.model_dump_json(exclude_defaults=True)
        self._controller.look()

    def change(self, **fields: Any) -> None:
        """Take other values of some options."""
        self.choose_options(self._state.explain_options.model_copy(update=fields))

    def choose_view(self, name: str) -> None:
        """Take another view, at its own place."""
        self.change(view=name, place=None, head=None)

    def forget_point(self) -> None:
        """Drop the voxel: it was one of another volume."""
        node = self._controller.parameters.reference(VOXEL)
        if node is not None:
            node.RemoveAllControlPoints()
        options = self._state.explain_options
        if options is not None and options.point is not None:
            self.change(point=None)

    def pick(self, is_wanted: bool) -> None:
        """Let the next click into a view choose the voxel, or no longer."""
        self._state.update(is_picking=is_wanted)
        if not is_wanted:
            self._placing.stop()
            return
        node = self._mark()
        node.RemoveAllControlPoints()
        self._placing.start(node)
        self._controller.say("Click the voxel that is to be explained.")

    def show(self) -> None:
        """Have the view made."""
        controller, state = self._controller, self._state
        if why_not_explain(state) or controller.runner is None:
            return
        volume = controller.parameters.reference(VOLUME)
        bench = controller.bench
        try:
            task = bench.explaining.task(
                volume, state.checkpoint, state.explain_options, state.options
            )
        except bench.Error as error:
            controller.fail(error)
            return
        controller.runner.start(task, "Looking into the network")

    def take(self, task: Any) -> None:
        """Keep what was shown."""
        self._explained, self._region = task.explained, -1
        self._places = task.places()
        self._state.update(
            explanation=task.explanation, regions=tuple(region for region, _ in self._places)
        )
        for note in task.explanation.notes:
            self._controller.log.add(note)
        if task.explanation.view.name == self._controller.bench.explaining.doubt:
            self.visit_next_doubt()

    def show_doubt(self) -> None:
        """Show where the network is unsure, and go to the worst place."""
        self.choose_view(self._controller.bench.explaining.doubt)
        self.show()

    def visit_next_doubt(self) -> None:
        """Go to the next most uncertain region."""
        if self._places:
            self.visit_doubt((self._region + 1) % len(self._places))

    def visit_doubt(self, number: int) -> None:
        """Go to an uncertain region, counted from 0 in their order."""
        if not 0 <= number < len(self._places):
            return
        self._region = number
        region, world = self._places[number]
        jump_to(slicer.mrmlScene, world)
        self._controller.say(
            f"Uncertain region {region.number} of {len(self._places)}: {region.size_ml:.2f} mL, "
            f"mean entropy {region.mean_entropy:.2f} nats."
        )

    def save_figure(self, path: Path) -> None:
        """Write the shown explanation as a picture."""
        self._save(self._controller.bench.explaining.save_figure, path, "The picture is in")

    def save_data(self, folder: Path) -> None:
        """Write the numbers of the shown explanation, and an index, into a folder."""
        self._save(self._controller.bench.explaining.save_data, folder, "The data are in")

    def _save(self, write: Any, path: Path, done: str) -> None:
        """Write a large file beside the work: packing the maps of a whole CT takes seconds."""
        controller, state = self._controller, self._state
        if state.explanation is None or self._aside.is_busy:
            return

        def tell(error: BaseException | None) -> None:
            state.update(is_saving=False)
            if error is None:
                controller.say(f"{done} {path}.")
                return
            controller.say(controller.bench.sentence_for(error))
            details = controller.bench.details_for(error)
            if details:
                controller.log.add(details)

        state.update(is_saving=True, message="Saving…")
        self._aside.start(partial(write, self._explained, state.explanation, path), tell)

    def _mark(self) -> Any:
        parameters = self._controller.parameters
        node = parameters.reference(VOXEL)
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", MARK_NAME)
            node.SetMaximumNumberOfControlPoints(1)
            node.SetControlPointLabelFormat(MARK_NAME)
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetGlyphTypeFromString("CrossDot2D")
            parameters.set_reference(VOXEL, node)
        self._watch.follow(placements_of(node))
        return node

    def _take_point(self) -> None:
        """Take the voxel under the click, and show the view of it."""
        controller = self._controller
        node = controller.parameters.reference(VOXEL)
        volume = controller.parameters.reference(VOLUME)
        if node is None or volume is None or not node.GetNumberOfControlPoints():
            return
        bench = controller.bench.explaining
        voxel = bench.voxel_at(volume, node.GetNthControlPointPositionWorld(0))
        if voxel is None:
            controller.say("That is beside the volume; click into it.")
            if self._state.is_picking:
                self.pick(True)
            return
        try:
            point = bench.point_of(volume, voxel)
        except controller.bench.Error as error:
            controller.fail(error)
            return
        node.SetNthControlPointPositionWorld(0, bench.middle_of(volume, voxel))
        self._placing.stop()
        self._state.update(is_picking=False)
        self.change(point=point)
        self.show()
