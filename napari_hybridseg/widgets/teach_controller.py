"""What the user asks of the Teach section: a fine-tune, and what becomes of its checkpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.engine.jobs import FineTuneJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Metric
from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport
from napari_hybridseg.resources import user_checkpoints_folder
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import CheckpointFacts, FaceState, Phase, Task
from napari_hybridseg.widgets.teach_state import CurvePoint, SetFacts, TeachState, why_not_teach


class TeachController:
    """Changes the state of the Teach section.

    Parameters
    ----------
    face : FaceState
    state : TeachState
    desk : JobDesk
    settings : Settings
    choose_checkpoint : callable
        Takes the checkpoint of a path.
    """

    def __init__(
        self,
        face: FaceState,
        state: TeachState,
        desk: JobDesk,
        settings: Settings,
        choose_checkpoint: Callable[[Path], None],
    ) -> None:
        self._face = face
        self._state = state
        self._desk = desk
        self._settings = settings
        self._choose_checkpoint = choose_checkpoint
        last = settings.folder("corrections")
        if last and Path(last).is_dir():
            self.choose_set(Path(last))

    def choose_set(self, folder: Path) -> None:
        """Take a correction set."""
        self._state.corrections = read_set(folder)
        self._settings.set_folder("corrections", folder)

    def choose_options(self, options: FineTuneOptions) -> None:
        """Take other options."""
        self._state.options = options

    def choose_start(self, path: Path | None) -> None:
        """Begin the next fine-tune with what 'teach here' learnt, or with the checkpoint alone."""
        self._state.options = self._state.options.model_copy(update={"start_from": path})
        if path is not None:
            self._settings.set_folder("taught", path.parent)

    def fine_tune(self) -> None:
        """Start a fine-tune of the chosen checkpoint on the correction set."""
        facts, corrections = self._face.checkpoint, self._state.corrections
        if facts is None or corrections is None:
            return
        self.choose_set(corrections.folder)  # it may have grown
        if why_not_teach(self._face, self._state):
            return
        folder = user_checkpoints_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._desk.fail(WriteError(f"{folder} cannot be made: {error.strerror}."))
            return
        job = FineTuneJob(
            source=corrections.folder,
            checkpoint=facts.path,
            out=free_name(folder, facts),
            options=self._state.options.model_copy(update={"threads": self._face.options.threads}),
        )
        begun = self._desk.begin(
            Order(
                Task.TEACH,
                job,
                "Reading the corrections",
                on_done=self._take,
                on_event=self._on_event,
                on_ended=self._end,
            )
        )
        if begun:
            self._state.curves = {}
            self._state.report = None
            self._end()

    def finish(self) -> None:
        """End the fine-tune early and keep the best weights so far."""
        if self._is_teaching():
            self._state.is_finishing = True
            self._desk.finish()
            self._desk.say("Keeping the best weights so far; they are scored now.")

    def pause(self, is_wanted: bool) -> None:
        """Let the fine-tune wait, or go on."""
        if self._is_teaching():
            self._state.is_paused = is_wanted
            self._desk.pause(is_wanted)
            self._desk.say("Paused." if is_wanted else "Going on.")

    def use(self) -> None:
        """Take the new checkpoint."""
        if self._state.report is not None:
            self._choose_checkpoint(self._state.report.path)

    def roll_back(self) -> None:
        """Take the parent again."""
        if self._state.report is not None:
            self._choose_checkpoint(self._state.report.parent)
            self._desk.say(f"{self._state.report.parent.stem} is used again.")

    def _is_teaching(self) -> bool:
        return self._face.task is Task.TEACH and self._face.phase is Phase.RUNNING

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Metric):
            known = self._state.curves.get(event.name, ())
            point = CurvePoint(event.step, event.value)
            self._state.curves = self._state.curves | {event.name: (*known, point)}

    def _take(self, report: FineTuneReport) -> None:
        self._end()
        self._settings.add_opened_checkpoint(report.path.resolve())
        self._state.report = report
        self.choose_start(None)  # the new checkpoint has learnt it
        for sentence in report.left_out:
            self._desk.log.add(sentence)
        self._desk.say(report.verdict, Phase.DONE)

    def _end(self) -> None:
        self._state.is_paused = False
        self._state.is_finishing = False


def read_set(folder: Path) -> SetFacts:
    """Look into a correction set; a folder that is none yet is an empty one."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return SetFacts(folder)
    try:
        listed = CorrectionSet.open(folder).manifest.cases
    except HybridSegError as error:
        return SetFacts(folder, problem=str(error))
    return SetFacts(folder, tuple(case.name for case in listed))


def free_name(folder: Path, parent: CheckpointFacts) -> Path:
    """Give a file name for the child of a checkpoint that no file has."""
    name = parent.card.name if parent.card is not None else parent.path.stem
    stem = re.sub(r"-tuned-\d{8}(-\d+)?$", "", name) + time.strftime("-tuned-%Y%m%d")
    number, path = 1, folder / f"{stem}.safetensors"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.safetensors"
    return path
