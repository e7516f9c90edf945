"""What the user asks the engine while correcting: repair, teach here, which case next."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Change, Labels, start_of
from napari_hybridseg.counting import counted
from napari_hybridseg.engine.jobs import RankJob, RepairJob, TeachJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.widgets.correct_controller import CorrectController
from napari_hybridseg.widgets.correct_desk import OpenCorrection
from napari_hybridseg.widgets.correct_state import (
    CorrectState,
    RankedScan,
    why_not_ask,
    why_not_rank,
    why_not_teach_here,
)
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState, Phase, Task

READER = "napari-hybridseg"


class CorrectAssist:
    """Changes the state of the Correct section with the engine's help.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    face : FaceState
    state : CorrectState
    controller : CorrectController
    desk : JobDesk
    settings : Settings
    taught_folder : Path
        Where taught changes wait to be kept or dropped.
    choose_start : callable
        Takes a taught change that is kept as the start of the next fine-tune.
    """

    def __init__(
        self,
        viewer: Any,
        face: FaceState,
        state: CorrectState,
        controller: CorrectController,
        desk: JobDesk,
        settings: Settings,
        taught_folder: Path,
        choose_start: Callable[[Path], None],
    ) -> None:
        self._viewer = viewer
        self._face = face
        self._state = state
        self._controller = controller
        self._desk = desk
        self._settings = settings
        self._taught_folder = taught_folder
        self._choose_start = choose_start

    def say(self, value: int) -> None:
        """Have the user draw strokes that say something."""
        now = self._controller.correction
        if now is not None:
            self._state.statement = value
            now.strokes.begin(value)
            text = next(said.text for said in now.strokes.statements if said.value == value)
            self._desk.say(f"Draw on what {text}, then press 'Repair'.")

    def clear(self) -> None:
        """Forget the strokes."""
        now = self._controller.correction
        if now is not None:
            now.strokes.clear()
            self._controller.show()

    def repair(self) -> None:
        """Solve the region around the fresh strokes anew."""
        now = self._controller.correction
        if now is None or why_not_ask(self._face, self._state):
            return
        strokes, fresh = now.strokes.strokes()
        if not len(fresh):
            self._desk.say("These strokes are obeyed already; draw a new one.")
            return
        region = self._region(now, fresh)
        if region is None:
            return
        start, labels, options = region
        origin = now.session.origin
        job = RepairJob(
            volume=origin.volume,
            checkpoint=origin.checkpoint,
            start=start,
            labels=labels,
            strokes=strokes,
            fresh=fresh,
            scheme=origin.scheme,
            options=options,
        )
        self._ask(now, job, "Repairing", lambda change: change, lambda _: None)

    def teach_here(self) -> None:
        """Teach the network on the strokes, and look at the region again."""
        now = self._controller.correction
        if now is None or why_not_teach_here(self._face, self._state):
            return
        strokes, _ = now.strokes.strokes()
        region = self._region(now, strokes)
        origin = now.session.origin
        if region is None or origin.checkpoint is None:
            return
        start, labels, _ = region
        self.drop_taught()
        job = TeachJob(
            volume=origin.volume,
            checkpoint=origin.checkpoint,
            start=start,
            labels=labels,
            strokes=strokes,
            delta=self._free_name(origin.checkpoint),
        )

        def take(report: Any) -> None:
            self._state.taught = report.delta
            first, last = report.loss
            self._desk.log.add(f"Taught on the strokes: loss {first:.3f} to {last:.3f}.")

        self._ask(now, job, "Teaching here", lambda report: report.change, take)

    def keep_taught(self) -> None:
        """Leave what was taught on the disk, and let the next fine-tune begin with it."""
        path = self._state.taught
        if path is not None:
            self._state.taught = None
            self._choose_start(path)
            self._desk.say(f"What was taught is kept in {path}; the next fine-tune begins with it.")

    def drop_taught(self) -> None:
        """Forget what was taught; the labels that it gave stay."""
        path = self._state.taught
        if path is not None:
            self._state.taught = None
            with suppress(OSError):
                path.unlink()
            self._desk.say("What was taught is dropped; the checkpoint is as it was.")

    def rank(self, folder: Path) -> None:
        """Order a folder's scans by what correcting them would teach."""
        checkpoint = self._face.checkpoint
        if why_not_rank(self._face) or checkpoint is None:
            return
        self._settings.set_folder("rank", folder)

        def take(ranking: Any) -> None:
            self._state.ranking = tuple(
                RankedScan(scan.path, scan.benefit, scan.novelty) for scan in ranking.scans
            )
            ranked = counted(len(ranking.scans), "scan")
            self._desk.say(f"Ranked {ranked}; a double click opens one.", Phase.DONE)
            for sentence in ranking.failed:
                self._desk.log.add(sentence)

        job = RankJob(folder=folder, checkpoint=checkpoint.path)
        self._desk.begin(Order(Task.CORRECT, job, "Ranking", on_done=take))

    def visit(self, path: Path) -> None:
        """Open a scan of the list."""
        try:
            self._viewer.open(str(path), plugin=READER)
        except (HybridSegError, OSError) as error:
            self._desk.fail(error)

    def _ask(
        self,
        now: OpenCorrection,
        job: RepairJob | TeachJob,
        did: str,
        change_of: Callable[[Any], Change],
        then: Callable[[Any], None],
    ) -> None:
        serial = now.session.serial

        def take(value: Any) -> None:
            self._desk.say(f"{did}: done.", Phase.DONE)
            if self._controller.editing.apply(now, change_of(value), serial, did):
                now.strokes.have_spread()
            then(value)

        self._desk.begin(Order(Task.CORRECT, job, did, on_done=take))

    def _region(
        self, now: OpenCorrection, strokes: Strokes
    ) -> tuple[tuple[int, int, int], Labels, RepairOptions] | None:
        """Cut out what may change around strokes; perhaps in the shown slices alone."""
        now.watch.look()
        in_slice = self._state.choices.in_slice
        axis = self._controller.editing.shown_slice(now)[0] if in_slice else None
        options = RepairOptions(axis=axis)
        volume = now.session.origin.volume
        try:
            box = options.region(strokes, volume.geometry.shape, volume.geometry.spacing_zyx)
        except HybridSegError as error:
            self._desk.fail(error)
            return None
        return start_of(box), np.ascontiguousarray(now.session.working[box]), options

    def _free_name(self, checkpoint: Path) -> Path:
        self._taught_folder.mkdir(parents=True, exist_ok=True)
        stem = f"{checkpoint.stem}-taught-{time.strftime('%Y%m%d-%H%M%S')}"
        number, path = 1, self._taught_folder / f"{stem}.safetensors"
        while path.exists():
            number += 1
            path = self._taught_folder / f"{stem}-{number}.safetensors"
        return path
