"""Ties the panel together: what the user asks for, what the engine answers, what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.checkpoint_keeper import CheckpointKeeper
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import volume_of_layer
from napari_hybridseg.widgets.layer_geometry import LayerError, grid_of_layer
from napari_hybridseg.widgets.live_result import LiveResult
from napari_hybridseg.widgets.presets import Quality, quality_of, with_quality
from napari_hybridseg.widgets.report import make_report
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import (
    Choice,
    FaceState,
    Phase,
    Task,
    VolumeFacts,
    why_not_segment,
)
from napari_hybridseg.widgets.tasks import SegmentTask, results_of

if TYPE_CHECKING:
    from napari_hybridseg.engine.jobs import DeviceReport

READY = "Ready."


class Controller:
    """Changes the state for volume, checkpoint and segmenting; views only read it.

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
        self._keeps_partial = False
        self._on_result: Callable[[], None] = lambda: None
        self.book = LayerBook(viewer, self._follow_layers)
        self._checkpoints = CheckpointKeeper(state, desk, settings, self.book)
        self._obeys = False
        self._restore_choices()
        self._follow_layers()

    def obey_preferences(self) -> None:
        """Read napari's Preferences and follow them from now on.

        Not when the panel opens: the first look at them makes napari read every plugin's manifest.
        """
        if self._is_closed or self._obeys:
            return
        self._obeys = True
        self.choose_options(self._settings.options)
        self._checkpoints.restore(obeys_preferences=True)
        self._settings.preferences.follow_device(self._on_device_preferred)

    def follow_results(self, on_result: Callable[[], None]) -> None:
        """Have something done when a new result is the label map that is looked at."""
        self._on_result = on_result

    def close(self) -> None:
        """Follow the viewer no longer."""
        if not self._is_closed:
            self._is_closed = True
            if self._obeys:
                self._settings.preferences.unfollow_device(self._on_device_preferred)
            self.book.close()

    def look_for_devices(self) -> None:
        """Ask the engine what networks can run on; it is warm then for the first run."""
        from napari_hybridseg.engine.jobs import DevicesJob

        self._desk.aside(DevicesJob(), self._offer_devices)

    def choose_volume(self, key: str) -> None:
        """Take another layer as the volume; its reference and result come with it."""
        state = self._state
        state.volume = key
        layer = self.book.find(key)
        state.volume_facts = None if layer is None else self._facts_of(layer)
        state.reference = self.book.likely_reference(key)
        results = results_of(self.book, key)
        state.label_map = key_of(results[-1]) if results else ""
        self._checkpoints.fit()

    def choose_checkpoint(self, path: Path) -> None:
        """Take another checkpoint, known already or not; a bad one leaves the present one."""
        self._checkpoints.choose(path)

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

    def compare(self, first: Path, second: Path) -> None:
        """Segment the volume with two checkpoints; their scores then stand side by side."""

        def then_second(layer_key: str) -> None:
            self.choose_checkpoint(second)
            self.segment(then=lambda key: self._show_beside(key, layer_key))

        self.choose_checkpoint(first)
        self.segment(then=then_second)

    def segment(self, *, then: Callable[[str], None] | None = None) -> None:
        """Start a run; ``then`` gets the key of the result's layer instead of a scoring."""
        state = self._state
        layer = self.book.find(state.volume)
        if why_not_segment(state) or layer is None or state.checkpoint is None:
            return
        try:
            task = SegmentTask.prepare(layer, self.book, state.checkpoint, state.options)
        except HybridSegError as error:
            self._desk.fail(error)
            return
        size = task.job.volume.geometry.describe()
        self._desk.log.add(f"Segmenting ({size}) with {task.checkpoint}")
        live = LiveResult(self._viewer, self.book, task, state.checkpoint)
        self._keeps_partial = False

        def on_done(label_map: LabelMap) -> None:
            # napari collects garbage when a layer goes, which is felt: this one stays
            self._show_result(task, label_map, then=then, into=live.give_layer())

        def on_ended() -> None:
            parts = live.finished()
            if self._keeps_partial and parts is not None:
                self._show_result(task, parts, is_whole=False, into=live.give_layer())
            live.end()

        self._desk.begin(
            Order(
                Task.SEGMENT,
                task.job,
                "Starting the engine",
                on_done=on_done,
                on_event=live.on_event,
                on_ended=on_ended,
            )
        )

    def stop_and_keep(self) -> None:
        """Stop the run and keep what is finished."""
        self._keeps_partial = True
        self._desk.cancel()

    def report(self) -> str:
        """Give the text that 'copy report' copies."""
        layers = list(self.book.layers)
        paths = [Path(layer.source.path) for layer in layers if layer.source.path]
        names = [layer.name for layer in layers] + [str(path) for path in paths]
        return make_report(self._state, self._desk.log, names + [path.name for path in paths])

    def _restore_choices(self) -> None:
        self._state.options = self._settings.kept_options
        self._state.quality = quality_of(self._state.options)
        self._checkpoints.restore()
        self._state.message = READY

    def _on_device_preferred(self, event: Any = None) -> None:
        self._state.options = self._settings.options

    def _follow_layers(self) -> None:
        state = self._state
        known = {choice.key for choice in state.volumes}
        state.volumes = self.book.volumes()
        state.label_maps = self.book.label_maps()
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
            state.reference = self.book.likely_reference(state.volume)
            self._checkpoints.fit()

    def _is_opened_file(self, key: str) -> bool:
        layer = self.book.find(key)
        return layer is not None and grid_of_layer(layer).is_known

    def _facts_of(self, layer: Any) -> VolumeFacts:
        try:
            volume = volume_of_layer(layer, self.book.layers)
            grid = grid_of_layer(layer, self.book.layers)
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

    def _show_result(
        self,
        task: SegmentTask,
        label_map: LabelMap,
        *,
        is_whole: bool = True,
        then: Callable[[str], None] | None = None,
        into: Any = None,
    ) -> None:
        layer = task.show(self._viewer, self.book, label_map, is_whole=is_whole, into=into)
        is_gone = self.book.find(task.volume_key) is None
        did = "Segmented" if is_whole else "Stopped segmenting"
        said = f"{did} {task.volume_name}: the result is the layer '{layer.name}'"
        said += " (its volume was closed meanwhile)." if is_gone else "."
        if is_whole:
            self._desk.say(said, Phase.DONE)
            for note in label_map.notes:
                self._desk.log.add(note)
        else:  # how much of it there is belongs to the sentence
            self._desk.say(" ".join((said, *label_map.notes)), Phase.DONE)
        if self._state.volume == task.volume_key or is_gone:
            self._state.label_map = key_of(layer)
            self._state.score = None
            if then is None:
                self._on_result()
        if then is not None:
            then(key_of(layer))

    def _show_beside(self, key: str, rival: str) -> None:
        self._state.label_map = key
        self._state.rival = rival
        self._on_result()

    def _offer_devices(self, report: DeviceReport) -> None:
        named = [Choice(name, text) for name, text in report.devices.items()]
        first = f"automatic ({named[0].text})" if named else "automatic"
        self._state.devices = (Choice("auto", first), *named)
