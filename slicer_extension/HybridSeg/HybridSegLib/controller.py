"""The one that changes the state: it ties scene, engine and panel together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer

from HybridSegLib.correcting import Correcting
from HybridSegLib.editor import SegmentEditor
from HybridSegLib.explaining import Explaining
from HybridSegLib.install import InstallError
from HybridSegLib.log import Log, make_report
from HybridSegLib.parameters import LABEL_MAP, REFERENCE, SCORES, VOLUME, Parameters
from HybridSegLib.placing import MarkupsPlacing
from HybridSegLib.reviewing import Reviewing
from HybridSegLib.runner import TaskRunner
from HybridSegLib.seams import Editor, Installation, Placing
from HybridSegLib.state import PanelState, Phase, why_not_score, why_not_segment
from HybridSegLib.teaching import Teaching
from HybridSegLib.watch import Watch, changes_of, edits_of

READY = "Ready."
NEEDS_ENGINE = "The engine is not installed yet."
_VOLUME_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
_OPENED = "HybridSeg/openedCheckpoints"
_LAST = "HybridSeg/checkpoint"


class Controller:
    """Does what the user asks.

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
        self._devices = _DevicesListener(self)
        self._edits = Watch(self._on_edited)
        self._volume_watch = Watch(self.look)
        self._watched_volume: Any = None
        self.explaining = Explaining(self, placing or MarkupsPlacing())
        self.correcting = Correcting(self, editor or SegmentEditor())
        self.teaching = Teaching(self)
        self.reviewing = Reviewing(self)
        self.take_scene()

    def open(self) -> None:
        """Begin, as soon as the engine is installed."""
        if self.bench is None and self._installation.is_complete():
            self._begin()
        elif self.bench is None:
            self.state.update(message=NEEDS_ENGINE)
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
        """End the engine."""
        self._stop_watching()
        if self.bench is not None:
            self.bench.engine.close()

    def take_scene(self) -> None:
        """Work with the scene as it is now: it was opened, closed or loaded."""
        self.parameters = Parameters(self._get_parameter_node())
        self._stop_watching()
        self._choose_first_checkpoint()
        self.explaining.take_scene()
        self.reviewing.forget()
        self.look()
        score = self.bench.read_scores(self.parameters.reference(SCORES)) if self.bench else None
        self.state.update(score=score, score_is_stale=False)

    def leave_scene(self) -> None:
        """Let go of a scene that is being closed."""
        self._stop_watching()
        if self.runner is not None:
            self.runner.drop()

    def look(self) -> None:
        """Read the choices from the scene into the state."""
        parameters = self.parameters
        volume = parameters.reference(VOLUME)
        self._watch_volume(volume)
        label_map, reference = parameters.reference(LABEL_MAP), parameters.reference(REFERENCE)
        facts: dict[str, Any] = {
            "has_volume": volume is not None,
            "has_label_map": label_map is not None,
            "has_reference": reference is not None,
            "is_own_reference": label_map is not None and label_map is reference,
        }
        if self.bench is not None:
            facts["volume_facts"] = self.bench.volume_facts(volume) if volume else None
            facts["has_frames"] = self.bench.has_frames(volume)
            options = self.bench.options(parameters.options)
            facts |= {"options": options, "quality": self.bench.quality_of(options)}
            checkpoint = self._checkpoint_facts(parameters.checkpoint)
            facts |= {"checkpoint": checkpoint, **self.explaining.facts(checkpoint)}
            facts |= self.teaching.facts()
        self.state.update(**facts)
        self.correcting.look()

    def choose_volume(self, node: Any) -> None:
        """Take another volume."""
        is_new = node is not self.parameters.reference(VOLUME)
        self.parameters.set_reference(VOLUME, node)
        self.look()
        if is_new and self.bench is not None:
            self.explaining.forget_point()
            self.correcting.count()

    def choose_all_frames(self, wanted: bool) -> None:
        """Take every frame of a sequence, or only the one that is shown."""
        self.parameters.all_frames = wanted
        self.look()

    def choose_checkpoint(self, path: Path) -> None:
        """Take another checkpoint; one from elsewhere is listed from now on."""
        self.remember_checkpoint(path)
        qt.QSettings().setValue(_LAST, str(path.resolve()))
        self.parameters.checkpoint = str(path.resolve())
        self.look()

    def remember_checkpoint(self, path: Path) -> None:
        """List a checkpoint from now on, wherever it is."""
        known = {key for key, _ in self.state.checkpoints}
        if str(path.resolve()) not in known:
            opened = [*self._opened_checkpoints(), str(path.resolve())]
            qt.QSettings().setValue(_OPENED, json.dumps(opened))
            self._list_checkpoints()

    def choose_options(self, options: Any) -> None:
        """Take other options."""
        self.parameters.options = options.model_dump_json(exclude_defaults=True)
        self.look()

    def choose_device(self, name: str) -> None:
        """Take another device."""
        self.choose_options(self.state.options.model_copy(update={"device": name}))

    def choose_quality(self, name: str) -> None:
        """Take a preset."""
        self.choose_options(self.bench.with_quality(self.state.options, name))

    def choose_label_map(self, node: Any) -> None:
        """Take another label map to score."""
        self.parameters.set_reference(LABEL_MAP, node)
        self.look()

    def choose_reference(self, node: Any) -> None:
        """Take another reference, and score against it if there is what to score."""
        is_new = node is not None and node is not self.parameters.reference(REFERENCE)
        self.parameters.set_reference(REFERENCE, node)
        self.look()
        if is_new and not why_not_score(self.state):
            self.score()

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
        self.log.add(f"Segmenting ({state.volume_facts.line}) with {state.checkpoint.card.name}")
        self.runner.start(task, "Starting the engine")

    def score(self) -> None:
        """Start a comparison."""
        if why_not_score(self.state) or self.runner is None:
            return
        nodes = [self.parameters.reference(role) for role in (LABEL_MAP, REFERENCE)]
        try:
            task = self.bench.score_task(*nodes)
        except self.bench.Error as error:
            self.fail(error)
            return
        self._edits.follow(*map(edits_of, nodes))
        self.runner.start(task, "Scoring")

    def cancel(self) -> None:
        """Stop the job."""
        if self.runner is not None:
            self.runner.cancel()

    def show_table(self) -> None:
        """Show all scores in Slicer's table view."""
        node = self.parameters.reference(SCORES)
        if node is not None:
            self.bench.show_table(node)

    def save_scores(self, path: Path) -> None:
        """Write every score to a CSV file."""
        try:
            self.bench.save_csv(self.state.score, path)
        except self.bench.Error as error:
            self.say(str(error))
        else:
            self.say(f"The scores are in {path}.")

    def say(self, message: str, phase: Phase | None = None) -> None:
        """Put a sentence into the status line and the log."""
        self.log.add(message)
        self.state.update(message=message, phase=phase or self.state.phase)

    def fail(self, error: Exception) -> None:
        """Say why something could not be done."""
        self.say(str(error), Phase.FAILED)

    def report(self) -> str:
        """Give the text that 'Copy report' copies."""
        return make_report(self.state, self.log)

    def offer_devices(self, report: Any) -> None:
        """List what networks can run on."""
        named = list(report.devices.items())
        first = f"automatic ({named[0][1]})" if named else "automatic"
        self.state.update(devices=(("auto", first), *named))

    def _begin(self) -> None:
        self.bench = self._open_bench()
        self.bench.engine.logged.connect(self.log.add)
        self.runner = TaskRunner(self.bench, self.state, self.log)
        self.runner.finished.connect(self._on_finished)
        self._list_checkpoints()
        self.state.update(is_installed=True, message=READY, qualities=self.bench.qualities)
        self.take_scene()
        self.correcting.open()
        job = self.bench.devices_job()
        self.bench.engine.start(job, self._devices, is_background=True)

    def _choose_first_checkpoint(self) -> None:
        """Begin a new scene with the checkpoint that was used last, or the first that there is."""
        known = [key for key, _ in self.state.checkpoints]
        if known and not self.parameters.checkpoint:
            last = str(qt.QSettings().value(_LAST, "") or "")
            self.parameters.checkpoint = last if last in known else known[0]

    def _list_checkpoints(self) -> None:
        opened = [Path(path) for path in self._opened_checkpoints()]
        self.state.update(checkpoints=self.bench.checkpoints(opened))

    @staticmethod
    def _opened_checkpoints() -> list[str]:
        paths = json.loads(str(qt.QSettings().value(_OPENED, "[]") or "[]"))
        return [path for path in paths if Path(path).is_file()]

    def _checkpoint_facts(self, path: str) -> Any:
        known = self.state.checkpoint
        if not path:
            return None
        return known if known and str(known.path) == path else self.bench.checkpoint(Path(path))

    def _on_finished(self, task: Any) -> None:
        if task.name in ("segment", "compare"):
            self._show_result(task)
        elif task.name == "score":
            self._keep_scores(task.score)
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
            self.state.update(score=None)
            self.look()
            self.score()

    def _keep_scores(self, score: Any) -> None:
        node = self.parameters.reference(SCORES)
        if node is None:
            scene = slicer.mrmlScene
            node = scene.AddNewNodeByClass("vtkMRMLTableNode", "HybridSeg scores")
            self.parameters.set_reference(SCORES, node)
        self.bench.write_scores(node, score)
        self.state.update(score=score, score_is_stale=self._edits.has_changed)

    def _watch_volume(self, volume: Any) -> None:
        if volume is not self._watched_volume:
            self._watched_volume = volume
            self._volume_watch.follow(*([changes_of(volume)] if volume is not None else []))

    def _stop_watching(self) -> None:
        self._edits.stop()
        self.explaining.close()
        self.correcting.close()
        self._watch_volume(None)

    def _on_edited(self) -> None:
        if self.state.score is not None and not self.state.phase.is_busy:
            self.state.update(score_is_stale=True)


class _DevicesListener:
    """Hears what networks can run on; a failure is for the log alone."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def on_event(self, event: Any) -> None:
        """Nothing is shown of it."""

    def on_success(self, value: Any) -> None:
        """List the devices."""
        self._controller.offer_devices(value)

    def on_failure(self, error: Exception) -> None:
        """Say in the log why there is no list."""
        sentence = self._controller.bench.sentence_for(error)
        self._controller.log.add(f"The engine did not tell its devices: {sentence}")

    def on_cancelled(self) -> None:
        """Nothing was asked for by the user."""
