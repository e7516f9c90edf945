"""The one that changes the state: it ties scene, engine and panel together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from HybridSegLib.choosing import Choosing
from HybridSegLib.correcting import Correcting
from HybridSegLib.costing import Costing
from HybridSegLib.editor import SegmentEditor
from HybridSegLib.explaining import Explaining
from HybridSegLib.install import InstallError
from HybridSegLib.log import Log, make_report
from HybridSegLib.parameters import LABEL_MAP, RIVAL, VOLUME, Parameters
from HybridSegLib.placing import MarkupsPlacing
from HybridSegLib.reviewing import Reviewing
from HybridSegLib.runner import TaskRunner
from HybridSegLib.scoring import Scoring
from HybridSegLib.seams import Editor, Installation, Placing
from HybridSegLib.state import PanelState, Phase, why_not_segment
from HybridSegLib.teaching import Teaching

READY = "Ready."
NEEDS_ENGINE = "The engine is not installed yet."


class Controller:
    """Does what the user asks, with a part for each section: ``choosing``, ``scoring``, ...

    Parameters
    ----------
    state : PanelState
    get_parameter_node : callable
        Gives the module's parameter node of the present scene.
    installation : Installation
    open_bench : callable
        Gives the ``Bench``; called once the engine is installed, because it imports its package.
    placing : Placing or None
        None is Slicer's place mode.
    editor : Editor or None
        None is Slicer's Segment Editor.
    """

    def __init__(
        self,
        state: PanelState,
        get_parameter_node: Callable[[], Any],
        installation: Installation,
        open_bench: Callable[[], Any],
        placing: Placing | None = None,
        editor: Editor | None = None,
    ) -> None:
        self.state = state
        self.log = Log()
        self.bench: Any = None
        self.runner: TaskRunner | None = None
        self.parameters: Parameters
        self._get_parameter_node = get_parameter_node
        self._installation = installation
        self._open_bench = open_bench
        self.is_closed = False
        self.choosing = Choosing(self)
        self.costing = Costing(self)
        self.scoring = Scoring(self)
        self.reviewing = Reviewing(self)
        self.explaining = Explaining(self, placing or MarkupsPlacing())
        self.correcting = Correcting(self, editor or SegmentEditor())
        self.teaching = Teaching(self)
        self.take_scene()

    def open(self) -> None:
        """Begin, as soon as the engine is installed."""
        if self.bench is None and self._installation.is_complete():
            self._begin()
        elif self.bench is None:
            obstacle = self._installation.obstacle()
            self.state.update(obstacle=obstacle, message=obstacle or NEEDS_ENGINE)
        self.look()
        self.correcting.enter()

    def install(self) -> None:
        """Ask, and install the engine."""
        self.say("Installing the engine…")
        try:
            self._installation.install()
        except InstallError as error:
            self.say(str(error), Phase.FAILED)
            return
        self.state.update(phase=Phase.IDLE)
        self.open()

    def close(self) -> None:
        """End the engine; what the panel's widgets still tell is heard no more."""
        self.is_closed = True
        self._stop_watching()
        if self.bench is not None:
            self.bench.engine.close()

    def take_scene(self) -> None:
        """Work with the scene as it is now: it was opened, closed or loaded."""
        self.parameters = Parameters(self._get_parameter_node())
        self._stop_watching()
        self.choosing.first_checkpoint()
        self.explaining.take_scene()
        self.reviewing.forget()
        self.look()
        self.scoring.take_scene()

    def leave_scene(self) -> None:
        """Let go of a scene that is being closed."""
        self._stop_watching()
        if self.runner is not None:
            self.runner.drop()

    def look(self) -> None:
        """Read the choices from the scene into the state."""
        if self.is_closed:
            return
        facts = self.choosing.facts() | self.scoring.facts()
        if self.bench is not None:
            facts |= self.explaining.facts(facts["checkpoint"]) | self.teaching.facts()
        self.state.update(**facts)
        self.costing.look()
        self.correcting.look()

    def segment(self) -> None:
        """Start a run."""
        if why_not_segment(self.state) or self.runner is None:
            return
        state, parameters = self.state, self.parameters
        all_frames = parameters.all_frames and state.has_frames
        try:
            task = self.bench.segment_task(
                parameters.reference(VOLUME), state.checkpoint, state.options, all_frames
            )
        except self.bench.Error as error:
            self.fail(error)
            return
        parameters.checkpoint_stays = True
        self.log.add(f"Segmenting ({state.volume_facts.line}) with {state.checkpoint.card.name}")
        self.runner.start(task, "Starting the engine")

    def cancel(self) -> None:
        """Stop the job."""
        if self.runner is not None:
            self.runner.cancel()

    def stop_and_keep(self) -> None:
        """Stop the run and keep what is finished."""
        if self.runner is not None:
            self.runner.stop_and_keep()

    def say(self, message: str, phase: Phase | None = None) -> None:
        """Put a sentence into the status line and the log."""
        self.log.add(message)
        self.state.update(message=message, phase=phase or self.state.phase)

    def fail(self, error: Exception) -> None:
        """Say why something could not be done."""
        self.say(str(error), Phase.FAILED)

    def report(self) -> str:
        """Give the text that 'Copy report' copies."""
        kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode")
        nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
        return make_report(self.state, self.log, [node.GetName() for node in nodes])

    def _begin(self) -> None:
        self.bench = self._open_bench()
        self.bench.engine.logged.connect(self.log.add)
        self.runner = TaskRunner(self.bench, self.state, self.log)
        self.runner.finished.connect(self._on_finished)
        self.choosing.list_checkpoints()
        self.state.update(is_installed=True, message=READY, qualities=self.bench.qualities)
        self.take_scene()
        self.correcting.open()
        self.choosing.ask_for_devices()

    def _on_finished(self, task: Any) -> None:
        if task.name in ("segment", "compare"):
            self._show_result(task)
        elif task.name == "score":
            self.scoring.take(task)
            self.reviewing.take(task)
        elif task.name == "explain":
            self.explaining.take(task)
        elif task.name == "accept":
            self.correcting.take(task)
        elif task.name == "teach":
            self.teaching.take(task)

    def _show_result(self, task: Any) -> None:
        for note in task.notes:
            self.log.add(note)
        if self.parameters.reference(VOLUME) in (task.volume, None):
            self.parameters.set_reference(LABEL_MAP, task.result)
            if task.name == "compare":
                self.parameters.set_reference(RIVAL, task.rival)
            self.state.update(score=None)
            self.look()
            self.scoring.score()

    def _stop_watching(self) -> None:
        self.scoring.close()
        self.explaining.close()
        self.correcting.close()
        self.choosing.close()
        self.costing.close()
