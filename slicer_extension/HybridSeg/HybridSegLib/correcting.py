"""What the user asks of the Correct section: begin, count, accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer

from HybridSegLib.parameters import CORRECTION, LABEL_MAP, VOLUME
from HybridSegLib.seams import Editor
from HybridSegLib.state import why_not_accept, why_not_correct
from HybridSegLib.watch import Watch, edits_of

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller

_SET = "HybridSeg/corrections"


class Correcting:
    """Changes what the state knows of corrections.

    Parameters
    ----------
    controller : Controller
    editor : Editor
    """

    def __init__(self, controller: Controller, editor: Editor) -> None:
        self._controller = controller
        self._state = controller.state
        self._editor = editor
        self._watch = Watch(lambda: None)
        self._watched: Any = None

    def close(self) -> None:
        """Follow the scene no longer."""
        self._watch.stop()
        self._watched = None

    def open(self) -> None:
        """Take the set that was used last."""
        last = str(qt.QSettings().value(_SET, "") or "")
        if last and Path(last).is_dir():
            self.choose_set(Path(last))

    def choose_set(self, folder: Path) -> None:
        """Take a correction set."""
        qt.QSettings().setValue(_SET, str(folder))
        facts = self._controller.bench.correcting.read_set(folder)
        self._state.update(corrections=facts)

    def begin(self, *, is_empty: bool = False) -> None:
        """Hide the network's result, and open a copy of it in the Segment Editor."""
        controller, state = self._controller, self._state
        if why_not_correct(state):
            return
        parameters, bench = controller.parameters, controller.bench
        volume = parameters.reference(VOLUME)
        label_map = None if is_empty else parameters.reference(LABEL_MAP)
        scheme = state.checkpoint.card.labels
        try:
            node, note = bench.correcting.begin(volume, label_map, scheme)
        except bench.Error as error:
            controller.fail(error)
            return
        parameters.set_reference(CORRECTION, node)
        parameters.set_reference(LABEL_MAP, node)
        controller.look()
        self.count()
        controller.say(note or "Paint in the Segment Editor; come back here to accept the case.")
        self._editor.edit(node, volume)

    def look(self) -> None:
        """See which correction there is, and count if it is another one."""
        if self._controller.bench is None or slicer.mrmlScene.IsImporting():
            return  # voxels come last when a scene is read
        node = self._controller.parameters.reference(CORRECTION)
        if node is not self._watched or (node is None and self._state.correction is not None):
            self.count()

    def enter(self) -> None:
        """Count anew if somebody painted while the panel was not looked at."""
        if self._watch.has_changed:
            self.count()

    def count(self) -> None:
        """Count what was edited, organ by organ."""
        controller = self._controller
        node = controller.parameters.reference(CORRECTION)
        volume = controller.parameters.reference(VOLUME)
        self._watched = node
        if node is None or volume is None:
            self._watch.stop()
            self._state.update(correction=None)
            return
        self._watch.follow(edits_of(node))
        try:
            self._state.update(correction=controller.bench.correcting.facts(node, volume))
        except controller.bench.Error as error:
            controller.fail(error)
            self._state.update(correction=None)

    def accept(self) -> None:
        """Put the case into the correction set."""
        controller, state = self._controller, self._state
        if why_not_accept(state) or controller.runner is None:
            return
        parameters, bench = controller.parameters, controller.bench
        node, volume = parameters.reference(CORRECTION), parameters.reference(VOLUME)
        folder = state.corrections.folder
        try:
            task = bench.correcting.accept_task(node, volume, folder)
        except bench.Error as error:
            controller.fail(error)
            return
        controller.runner.start(task, f"Accepting the case into {folder.name}")

    def take(self, task: Any) -> None:
        """See how many cases the set has now."""
        self.choose_set(task.folder)
        self.count()
