"""The panel through its manifest, in a real viewer, with an engine that obeys the test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

from napari_hybridseg.engine import EngineDied
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Note
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.dock import HybridSegWidget
from napari_hybridseg.widgets.layer_data import label_map_layer, volume_layers
from napari_hybridseg.widgets.presets import Quality
from napari_hybridseg.widgets.report import without_names
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Phase

from .conftest import SCHEME


class Panel:
    """The dock widget and what a user does with it."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer = viewer
        self._qtbot = qtbot
        _, self.widget = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
        self.state = self.widget.state
        self.controller = self.widget.controller
        self.run_button = self.widget.segment.button

    def add(self, volume: Any, name: str = "scan") -> Any:
        data, attributes, _ = volume_layers(volume)[0]
        return self.viewer.add_image(data, **(attributes | {"name": name}))

    def wait_for(self, phase: Phase) -> None:
        self._qtbot.waitUntil(lambda: self.state.phase is phase, timeout=5000)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        self._qtbot.waitUntil(is_so, timeout=5000)

    @property
    def results(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if "·" in layer.name]


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Panel:
    return Panel(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def ready(panel, make_volume, checkpoint_file) -> Panel:
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    return panel


def test_an_empty_panel_says_what_is_missing(panel):
    assert not panel.run_button.isEnabled()
    assert "Open a volume" in panel.run_button.toolTip()
    assert not panel.widget.review.button.isEnabled()
    assert "no label map" in panel.widget.review.button.toolTip()
    assert not panel.widget.checkpoint.card_button.isEnabled()


def test_volume_and_checkpoint_are_described(ready):
    assert ready.widget.volume.line.text() == "6×5×4, 1×2×3 mm · CT"
    assert ready.widget.checkpoint.line.text().startswith("2 organs · CT · unet · ")
    assert ready.run_button.isEnabled()


def test_a_run_ends_in_a_named_layer_on_its_volume(ready):
    ready.run_button.click()
    ready.wait_for(Phase.DONE)
    (result,) = ready.results
    volume = ready.viewer.layers["scan"]
    assert result.name == "scan · test-unet"
    assert np.array_equal(result.data == 1, volume.data > 0)
    for name in ("scale", "translate", "units"):
        assert np.array_equal(getattr(result, name), getattr(volume, name))
    assert list(result.features["organ"]) == ["background", "liver", "spleen"]
    assert ready.widget.review.label_map.currentText() == result.name
    assert "scan · test-unet" in ready.widget.status.line.text()


def test_progress_and_notes_are_shown_while_it_runs(ready, engine):
    engine.gate.clear()
    engine.notes = (Note("The volume was cropped to the body."),)
    ready.run_button.click()
    ready.wait_until(lambda: "about 12 s left" in ready.widget.status.line.text())
    assert ready.widget.status.bar.isVisibleTo(ready.widget)
    assert ready.run_button.text() == "Cancel"
    ready.wait_until(lambda: "cropped to the body" in ready.widget.desk.log.text)
    engine.gate.set()
    ready.wait_for(Phase.DONE)
    assert ready.run_button.text() == "Segment"
    assert not ready.widget.status.bar.isVisibleTo(ready.widget)


def test_cancel_changes_nothing_and_the_next_run_works(ready, engine):
    engine.gate.clear()
    ready.run_button.click()
    ready.wait_until(lambda: bool(engine.jobs))
    ready.run_button.click()
    assert ready.state.phase is Phase.CANCELLING
    assert not ready.run_button.isEnabled()
    ready.wait_for(Phase.IDLE)
    assert ready.results == []
    engine.gate.set()
    ready.run_button.click()
    ready.wait_for(Phase.DONE)
    assert len(ready.results) == 1


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (HybridSegError("The GPU ran out of memory."), "The GPU ran out of memory."),
        (EngineDied("The engine ended; start again.", "log"), "The engine ended; start again."),
        (RuntimeError("odd"), "The job failed unexpectedly (RuntimeError: odd)"),
        (KeyError("odd"), "The job failed unexpectedly (KeyError"),
    ],
)
def test_a_failure_is_one_sentence_and_a_report(ready, engine, failure, sentence):
    engine.failure = failure
    ready.run_button.click()
    ready.wait_for(Phase.FAILED)
    assert ready.widget.status.line.text().startswith(sentence)
    assert ready.results == []
    ready.widget.status.report_button.click()
    report = QApplication.clipboard().text()
    assert sentence in report
    assert "engine says hello" in report
    engine.failure = None
    ready.run_button.click()
    ready.wait_for(Phase.DONE)


def test_a_report_has_no_layers_name(ready):
    ready.run_button.click()
    ready.wait_for(Phase.DONE)
    ready.widget.status.report_button.click()
    report = QApplication.clipboard().text()
    assert "the result is the layer '[layer 1]'" in report
    for layer in ready.viewer.layers:
        assert layer.name not in report


def test_names_are_left_out_whole_and_longest_first():
    text = "scan and scan · unet, but rescan and /data/scan.nii.gz; a b"
    found = without_names(text, ["scan", "scan · unet", "a"], "layer")
    assert found == "[layer 2] and [layer 1], but rescan and /data/[layer 2].nii.gz; a b"


def test_the_result_goes_to_the_volume_it_was_started_on(ready, engine, make_volume):
    engine.gate.clear()
    ready.run_button.click()
    other = ready.add(make_volume(spacing=(2, 2, 2)), "other")
    ready.widget.volume.chosen.emit(str(other.unique_id))
    engine.gate.set()
    ready.wait_for(Phase.DONE)
    (result,) = ready.results
    assert result.name == "scan · test-unet"
    assert np.array_equal(result.scale, ready.viewer.layers["scan"].scale)
    assert ready.state.label_map == ""


def test_a_volume_removed_during_the_run_costs_no_result(ready, engine):
    scale = ready.viewer.layers["scan"].scale
    engine.gate.clear()
    ready.run_button.click()
    ready.viewer.layers.remove("scan")
    engine.gate.set()
    ready.wait_for(Phase.DONE)
    assert np.array_equal(ready.results[0].scale, scale)
    assert "closed meanwhile" in ready.widget.status.line.text()


def test_a_new_run_replaces_an_untouched_result_and_keeps_an_edited_one(ready):
    for _ in range(2):
        ready.run_button.click()
        ready.wait_for(Phase.DONE)
    (result,) = ready.results
    result.data_setitem(tuple(np.array([0]) for _ in range(3)), 2)
    ready.run_button.click()
    ready.wait_until(lambda: len(ready.results) == 2)
    assert result.data[0, 0, 0] == 2
    assert ready.viewer.layers[-1].data[0, 0, 0] != 2


@pytest.fixture
def scored(ready, make_volume) -> Panel:
    """Give a panel after a run on a volume that has a reference."""
    volume = make_volume()
    truth = LabelMap(volume.geometry, volume.source, (volume.array[0] > 0).astype(np.uint8), SCHEME)
    data, attributes, _ = label_map_layer(truth, "scan_reference")
    ready.viewer.add_labels(data, **attributes)
    ready.run_button.click()
    ready.wait_until(lambda: ready.state.score is not None)
    return ready


def test_a_reference_of_that_name_is_taken_and_scored(scored):
    assert scored.widget.review.reference.currentText() == "scan_reference"
    table = scored.widget.review.table
    assert table.isVisibleTo(scored.widget)
    assert table.scores.texts()[1][:2] == ["liver", "1.000"]
    assert "monai" in scored.widget.review.notes.text()


def test_scores_of_a_layer_that_was_edited_are_called_old(scored):
    reference = scored.viewer.layers["scan_reference"]
    reference.data_setitem(tuple(np.array([0]) for _ in range(3)), 2)
    assert "Edited since" in scored.widget.review.notes.text()
    scored.widget.review.button.click()
    scored.wait_until(lambda: not scored.state.score_is_stale)
    assert "Edited since" not in scored.widget.review.notes.text()


def test_an_undone_edit_leaves_the_scores_valid_and_a_redone_one_does_not(scored):
    reference = scored.viewer.layers["scan_reference"]
    reference.data_setitem(tuple(np.array([0]) for _ in range(3)), 2)
    assert scored.state.score_is_stale
    reference.undo()
    scored.wait_until(lambda: not scored.state.score_is_stale)
    reference.redo()
    scored.wait_until(lambda: scored.state.score_is_stale)


def test_undo_of_an_edit_that_was_scored_makes_the_scores_old(scored):
    reference = scored.viewer.layers["scan_reference"]
    reference.data_setitem(tuple(np.array([0]) for _ in range(3)), 2)
    scored.widget.review.button.click()
    scored.wait_until(lambda: not scored.state.score_is_stale)
    reference.undo()
    scored.wait_until(lambda: scored.state.score_is_stale)


def test_scores_of_what_was_edited_meanwhile_arrive_old(scored, engine):
    engine.gate.clear()
    scored.widget.review.button.click()
    reference = scored.viewer.layers["scan_reference"]
    reference.data_setitem(tuple(np.array([0]) for _ in range(3)), 2)
    engine.gate.set()
    scored.wait_for(Phase.DONE)
    assert "Edited since" in scored.widget.review.notes.text()


def test_an_earlier_result_is_no_reference(panel, make_volume, checkpoint_file):
    volume = panel.add(make_volume(), "ct")
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    panel.results[0].name = "ct · seg"
    panel.widget.volume.chosen.emit(str(volume.unique_id))
    assert panel.state.reference == ""
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    assert panel.state.score is None


@pytest.mark.parametrize(
    ("name", "is_reference"),
    [
        ("scan_reference", True),
        ("scan-GT", True),
        ("scan ground truth", True),
        ("scan · segresnet-20-cases", False),
        ("scan_labelled_by_nobody", False),
        ("scanner_label", False),
    ],
)
def test_a_reference_is_known_by_whole_words(ready, name, is_reference):
    layer = ready.viewer.add_labels(np.zeros((4, 5, 6), dtype=np.uint8), name=name)
    assert ready.state.reference == (str(layer.unique_id) if is_reference else "")


def test_a_bad_checkpoint_in_a_run_does_not_lose_the_run(ready, engine, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not a checkpoint")
    engine.gate.clear()
    ready.run_button.click()
    ready.wait_until(lambda: bool(engine.jobs))
    ready.widget.checkpoint.chosen.emit(bad)
    assert ready.state.phase is Phase.RUNNING
    assert "is not a checkpoint file" in ready.widget.desk.log.text
    assert ready.run_button.text() == "Cancel"
    engine.gate.set()
    ready.wait_for(Phase.DONE)
    assert len(ready.results) == 1


def test_the_engine_is_heard_while_it_runs(ready, engine):
    engine.gate.clear()
    ready.run_button.click()
    ready.wait_until(lambda: bool(engine.jobs))
    threading.Thread(target=engine.on_log, args=["loading weights"]).start()
    ready.wait_until(lambda: "loading weights" in ready.widget.status.log_view.toPlainText())
    assert ready.state.phase is Phase.RUNNING
    engine.gate.set()
    ready.wait_for(Phase.DONE)


def test_settings_of_its_own_leave_the_users_alone(make_napari_viewer_proxy, engine, tmp_path):
    store = QSettings(str(tmp_path / "own.ini"), QSettings.Format.IniFormat)
    widget = HybridSegWidget(make_napari_viewer_proxy(), Settings(store))
    widget.controller.choose_quality(Quality.BEST)
    widget.controller.close()
    assert Settings(store).options.tta
    assert not Settings().options.tta


def test_scores_are_taken_along(scored, tmp_path):
    scored.widget.review.copy_button.click()
    copied = QApplication.clipboard().text()
    assert "liver\t1.000" in copied
    assert "HD95 mm (monai)" in copied
    scored.widget.review.save(tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("label,name,status,dice")
    assert lines[-1].split(",")[1] == "mean"
    scored.widget.review.save(tmp_path / "missing" / "scores.csv")
    assert "cannot be written" in scored.widget.status.line.text()


def test_a_bad_checkpoint_says_why(ready, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not a checkpoint")
    ready.widget.checkpoint.chosen.emit(bad)
    assert "is not a checkpoint file" in ready.widget.status.line.text()
    assert ready.widget.checkpoint.choices.currentText() == "test-unet"
    assert ready.run_button.isEnabled()


def test_choices_are_kept_for_the_next_time(ready, make_napari_viewer_proxy, qtbot):
    ready.widget.segment.quality_chosen.emit(Quality.BEST)
    ready.widget.segment.device_chosen.emit("cpu")
    again = Panel(make_napari_viewer_proxy(), qtbot)
    assert again.state.options == SegmentOptions(
        device="cpu", overlap=0.6, importance="gaussian", tta=True
    )
    assert again.widget.segment.quality.currentText() == "best"
    assert again.state.checkpoint.card.name == "test-unet"


def test_own_options_are_called_custom(ready):
    ready.widget.segment.form.fields["overlap"].widget.setValue(0.1)
    assert ready.state.options.overlap == 0.1
    assert ready.widget.segment.quality.currentText() == "custom"


def test_devices_are_offered_once_the_engine_told_them(ready):
    ready.wait_until(lambda: ready.widget.segment.device.findText("automatic (CPU, 2 cores)") == 0)


def test_closing_the_panel_in_a_run_ends_the_engine(ready, engine):
    engine.gate.clear()
    ready.run_button.click()
    ready.wait_until(lambda: bool(engine.jobs))
    ready.viewer.window.remove_dock_widget("all")
    ready.wait_until(lambda: engine.is_closed)
    ready.viewer.add_image(np.zeros((4, 5, 6)))  # nobody who is gone is told


def test_layers_of_other_readers_work_with_a_note(panel, checkpoint_file):
    panel.viewer.add_image(np.random.default_rng(0).normal(size=(4, 5, 6)), scale=(3, 2, 1))
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    assert "does not say how the patient lies" in panel.widget.volume.notes.text()
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    assert np.array_equal(panel.results[0].scale, (3, 2, 1))


def test_flat_and_colour_images_are_volumes_too(panel):
    panel.viewer.add_image(np.zeros((5, 6)), name="X-ray")
    assert panel.state.volume_facts.channels == 1
    assert "taken as one slice" in panel.widget.volume.notes.text()
    panel.viewer.add_image(np.zeros((4, 5, 6, 3), dtype=np.uint8), rgb=True, name="sections")
    assert [choice.text for choice in panel.state.volumes] == ["sections", "X-ray"]
    panel.controller.choose_volume(panel.state.volumes[0].key)
    assert panel.state.volume_facts.channels == 3
