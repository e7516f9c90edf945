"""Ties the panel together: what the user asks for, what the engine answers, what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning

from napari_hybridseg.engine.jobs import DeviceReport, DevicesJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.resources import checkpoints_in, find_checkpoints
from napari_hybridseg.widgets.checkpoint_shelf import checkpoint_choices, read_facts
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import volume_of_layer
from napari_hybridseg.widgets.layer_geometry import LayerError, grid_of_layer
from napari_hybridseg.widgets.presets import Quality, quality_of, with_quality
from napari_hybridseg.widgets.report import make_report
from napari_hybridseg.widgets.score_watch import ScoreWatch
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import (
    Choice,
    FaceState,
    Phase,
    Task,
    VolumeFacts,
    why_not_score,
    why_not_segment,
)
from napari_hybridseg.widgets.tasks import ScoreTask, SegmentTask, results_of

READY = "Ready."


class Controller:
    """Changes the state for volume, checkpoint, segmenting and scoring; views only read it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    state : FaceState
    desk : JobDesk
    settings : Settings
    """

    def __init__(self, viewer: Any, state: FaceState, desk: JobDesk, settings: Settings) -> None:
        self._viewer = viewer
        self._state = state
        self._desk = desk
        self._settings = settings
        self._is_closed = False
        self._book = LayerBook(viewer, self._follow_layers)
        self._watch = ScoreWatch(self._book, self._on_edited)
        self._restore_choices()
        self._follow_layers()
        settings.preferences.follow_device(self._on_device_preferred)

    def close(self) -> None:
        """Follow the viewer no longer."""
        if not self._is_closed:
            self._is_closed = True
            self._settings.preferences.unfollow_device(self._on_device_preferred)
            self._watch.close()
            self._book.close()

    def look_for_devices(self) -> None:
        """Ask the engine what networks can run on; it is warm then for the first run."""
        self._desk.aside(DevicesJob(), self._offer_devices)

    def choose_volume(self, key: str) -> None:
        """Take another layer as the volume; its reference and result come with it."""
        state = self._state
        state.volume = key
        layer = self._book.find(key)
        state.volume_facts = None if layer is None else self._facts_of(layer)
        state.reference = self._book.likely_reference(key)
        results = results_of(self._book, key)
        state.label_map = key_of(results[-1]) if results else ""

    def choose_checkpoint(self, path: Path) -> None:
        """Take another checkpoint, known already or not; a bad one leaves the present one."""
        facts = read_facts(path)
        if facts.card is None:
            if self._state.phase.is_busy:  # the status line belongs to the job
                self._desk.log.add(facts.problem)
                show_warning(facts.problem)
            else:
                self._desk.say(facts.problem, Phase.FAILED)
            self._state.events.checkpoint.emit(self._state.checkpoint)  # views go back to it
            return
        self._state.checkpoint = facts
        if str(path.resolve()) not in {choice.key for choice in self._state.checkpoints}:
            self._settings.add_opened_checkpoint(path.resolve())
            self._list_checkpoints()
        self._settings.checkpoint = path.resolve()

    def choose_options(self, options: SegmentOptions) -> None:
        """Take other options; the quality is then the preset that they amount to."""
        self._state.options = options
        self._state.quality = quality_of(options)
        self._settings.options = options

    def choose_device(self, device: str) -> None:
        """Take another device."""
        self.choose_options(self._state.options.model_copy(update={"device": device}))

    def choose_quality(self, quality: Quality) -> None:
        """Take a preset's options."""
        self.choose_options(with_quality(self._state.options, quality))

    def choose_label_map(self, key: str) -> None:
        """Take another layer as the label map that is scored."""
        self._state.label_map = key

    def choose_reference(self, key: str) -> None:
        """Take another layer as the reference, and score against it if there is what to score."""
        self._state.reference = key
        if not why_not_score(self._state):
            self.score()

    def segment(self) -> None:
        """Start a run."""
        state = self._state
        layer = self._book.find(state.volume)
        if why_not_segment(state) or layer is None or state.checkpoint is None:
            return
        try:
            task = SegmentTask.prepare(layer, self._book, state.checkpoint, state.options)
        except HybridSegError as error:
            self._desk.fail(error)
            return
        size = task.job.volume.geometry.describe()
        self._desk.log.add(f"Segmenting ({size}) with {task.checkpoint}")
        self._desk.begin(
            Order(
                Task.SEGMENT,
                task.job,
                "Starting the engine",
                on_done=lambda label_map: self._show_result(task, label_map),
            )
        )

    def score(self) -> None:
        """Start a comparison."""
        state = self._state
        label_map, reference = self._book.find(state.label_map), self._book.find(state.reference)
        if why_not_score(state) or label_map is None or reference is None:
            return
        try:
            rules = self._settings.preferences.score_rules
            task = ScoreTask.prepare(label_map, reference, self._book, rules)
        except HybridSegError as error:
            self._desk.fail(error)
            return
        self._desk.begin(
            Order(
                Task.SCORE,
                task.job,
                "Scoring",
                on_done=lambda report: self._show_score(task, report),
            )
        )

    def report(self) -> str:
        """Give the text that 'copy report' copies."""
        return make_report(self._state, self._desk.log)

    def _restore_choices(self) -> None:
        self.choose_options(self._settings.options)
        self._list_checkpoints()
        known = [choice.key for choice in self._state.checkpoints]
        last = self._settings.checkpoint
        if known:
            self._state.checkpoint = read_facts(Path(last if last in known else known[0]))
        self._state.message = READY

    def _list_checkpoints(self) -> None:
        folder = self._settings.preferences.checkpoints_folder
        own = checkpoints_in(folder) if folder else []
        paths = [*find_checkpoints(), *own, *self._settings.opened_checkpoints]
        self._state.checkpoints = checkpoint_choices(paths)

    def _on_device_preferred(self, event: Any = None) -> None:
        self._state.options = self._settings.options

    def _follow_layers(self) -> None:
        state = self._state
        known = {choice.key for choice in state.volumes}
        state.volumes = self._book.volumes()
        state.label_maps = self._book.label_maps()
        keys = [choice.key for choice in state.volumes]
        fresh = [key for key in keys if key not in known and self._is_opened_file(key)]
        if fresh and not state.phase.is_busy:
            self.choose_volume(fresh[0])
        elif state.volume not in keys:
            self.choose_volume(keys[0] if keys else "")
        label_maps = [choice.key for choice in state.label_maps]
        if state.label_map not in label_maps:
            state.label_map = ""
        if state.reference not in label_maps:
            state.reference = self._book.likely_reference(state.volume)

    def _is_opened_file(self, key: str) -> bool:
        layer = self._book.find(key)
        return layer is not None and grid_of_layer(layer).is_known

    def _facts_of(self, layer: Any) -> VolumeFacts:
        try:
            volume = volume_of_layer(layer, self._book.layers)
            grid = grid_of_layer(layer, self._book.layers)
        except LayerError as error:
            return VolumeFacts(line="", problem=str(error))
        parts = [volume.geometry.describe(), volume.modality]
        if grid.oblique_degrees >= 0.1:
            parts.append(f"oblique by {grid.oblique_degrees:.0f}°, shown along its own axes")
        return VolumeFacts(
            line=" · ".join(part for part in parts if part),
            channels=len(volume.array),
            modality=volume.modality,
            notes=volume.notes,
        )

    def _show_score(self, task: ScoreTask, report: ScoreReport) -> None:
        self._watch.follow(task.checksums)
        self._state.score_is_stale = self._watch.is_edited()
        self._state.score = task.finish(report)
        self._desk.say(f"Scored {task.label_map_name} against {task.reference_name}.", Phase.DONE)

    def _show_result(self, task: SegmentTask, label_map: Any) -> None:
        layer = task.show(self._viewer, self._book, label_map)
        is_gone = self._book.find(task.volume_key) is None
        self._desk.say(
            f"Segmented {task.volume_name}: the result is the layer '{layer.name}'"
            + (" (its volume was closed meanwhile)." if is_gone else "."),
            Phase.DONE,
        )
        for note in label_map.notes:
            self._desk.log.add(note)
        if self._state.volume == task.volume_key or is_gone:
            self._state.label_map = key_of(layer)
            self._state.score = None
            self.score()

    def _on_edited(self, is_edited: bool) -> None:
        self._state.score_is_stale = is_edited and self._state.score is not None

    def _offer_devices(self, report: DeviceReport) -> None:
        named = [Choice(name, text) for name, text in report.devices.items()]
        first = f"automatic ({named[0].text})" if named else "automatic"
        self._state.devices = (Choice("auto", first), *named)
