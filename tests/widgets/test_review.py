"""Reviewing in the panel: scores that follow the brush, errors, and a run that is watched."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.events import RegionDone
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference.estimate import estimate
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.volume import LabelMap, Volume
from napari_hybridseg.widgets.layer_data import label_map_layer, volume_layers
from napari_hybridseg.widgets.state import Phase

from .conftest import SCHEME
from .test_panel import Panel

LIVER = 1


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Panel:
    return Panel(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def segmented(panel, make_volume, checkpoint_file) -> Panel:
    """A result beside a reference that has one slice more."""
    volume = panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    truth = (np.asarray(volume.data) > 0).astype(np.uint8)
    places = np.argwhere(truth)
    lowest = places[:, 0].max()
    truth[lowest] = 0
    panel.viewer.add_labels(
        truth, name="truth", scale=volume.scale, translate=volume.translate, units=volume.units
    )
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    panel.widget.review.reference_chosen.emit(str(panel.viewer.layers["truth"].unique_id))
    panel.wait_until(lambda: panel.state.score is not None and not panel.state.phase.is_busy)
    return panel


def result_of(panel: Panel) -> Any:
    return panel.viewer.layers["scan · test-unet"]


def test_scores_follow_the_brush_and_say_what_it_changed(segmented):
    before = segmented.state.score.report.organ(LIVER).dice
    assert segmented.state.score.first is None
    result, truth = result_of(segmented), segmented.viewer.layers["truth"]
    wrong = np.nonzero((result.data == LIVER) & (truth.data == 0))
    result.data_setitem(tuple(axis[:1] for axis in wrong), 0)
    segmented.wait_until(lambda: segmented.state.score.report.organ(LIVER).dice > before)
    assert segmented.state.score.first.organ(LIVER).dice == before
    assert not segmented.state.score_is_stale
    titles = segmented.widget.review.table.scores.texts()[0]
    assert "Δ Dice" in titles
    result.undo()
    segmented.wait_until(lambda: segmented.state.score.report.organ(LIVER).dice == before)


def test_a_click_goes_to_the_organ_and_the_next_to_its_largest_error(segmented):
    table = segmented.widget.review.table
    result, truth = result_of(segmented), segmented.viewer.layers["truth"]
    table.picked.emit(LIVER)
    segmented.wait_until(lambda: "its middle" in segmented.widget.status.line.text())
    middle = np.mean(np.nonzero(result.data == LIVER), axis=1)
    world = np.asarray(result.data_to_world(middle))
    half_a_step = np.asarray(result.scale) / 2 + 1e-6
    assert np.all(np.abs(np.asarray(segmented.viewer.dims.point) - world) <= half_a_step)
    table.picked.emit(LIVER)
    segmented.wait_until(lambda: "largest error" in segmented.widget.status.line.text())
    voxel = np.round(result.world_to_data(segmented.viewer.dims.point)).astype(int)
    assert (result.data[tuple(voxel)] == LIVER) != (truth.data[tuple(voxel)] == LIVER)


def test_errors_are_drawn_where_the_maps_differ_and_go_again(segmented):
    result, truth = result_of(segmented), segmented.viewer.layers["truth"]
    segmented.widget.review.errors_button.click()
    segmented.wait_until(lambda: "errors" in segmented.viewer.layers)
    overlay = segmented.viewer.layers["errors"]
    assert np.array_equal(overlay.data > 0, (result.data != truth.data))
    assert np.array_equal(overlay.scale, truth.scale)
    assert "HD95" in segmented.viewer.layers
    offered = [choice.text for choice in segmented.state.label_maps]
    assert "errors" not in offered
    segmented.widget.review.errors_button.click()
    assert "errors" not in segmented.viewer.layers
    assert "HD95" not in segmented.viewer.layers


def test_two_label_maps_stand_side_by_side(segmented, tmp_path):
    result = result_of(segmented)
    other = segmented.viewer.add_labels(
        np.asarray(segmented.viewer.layers["truth"].data),
        name="perfect",
        scale=result.scale,
        translate=result.translate,
        units=result.units,
    )
    segmented.widget.review.rival_chosen.emit(str(other.unique_id))
    segmented.wait_until(lambda: segmented.state.score.rival is not None)
    assert segmented.state.score.rival.organ(LIVER).dice == 1.0
    assert segmented.state.score.report.organ(LIVER).dice < 1.0
    review = segmented.widget.review
    assert review.table.scores.texts()[0][-4:-2] == ["other Dice", "other HD95 mm (monai)"]
    review.save(tmp_path / "scores.csv")
    rows = [*csv.DictReader((tmp_path / "scores.csv").open())]
    dice = {row["label_map"]: float(row["dice"]) for row in rows if row["label"] == str(LIVER)}
    assert dice == {result.name: pytest.approx(dice[result.name]), "perfect": 1.0}
    assert dice[result.name] < 1
    assert {row["hd95_convention"] for row in rows} == {"monai"}
    review.save(tmp_path / "scores.json")
    first, second = json.loads((tmp_path / "scores.json").read_text())
    assert (first["label_map"], second["label_map"]) == (result.name, "perfect")
    assert second["organs"][0]["dice"] == 1.0
    assert second["convention"] == "monai"


def started(panel: Panel, engine: Any, volume: Any, checkpoint_file: Any) -> Any:
    """Start a run that has finished the two lowest slices."""
    layer = panel.add(volume)
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    shape = volume.geometry.shape
    engine.notes = (RegionDone((0, 0, 0), np.full((2, *shape[1:]), LIVER, np.uint8)),)
    engine.gate.clear()
    panel.run_button.click()
    panel.wait_until(lambda: "scan · test-unet (running)" in panel.viewer.layers)
    return layer


def test_a_run_is_watched_as_it_grows(panel, engine, make_volume, checkpoint_file):
    volume = make_volume()
    layer = started(panel, engine, volume, checkpoint_file)
    live = panel.viewer.layers["scan · test-unet (running)"]
    assert np.array_equal(live.scale, layer.scale)
    finished = np.asarray(live.data) == LIVER
    assert finished.sum() == 2 * np.prod(volume.geometry.shape[1:])
    # a canonical array runs from feet to head, the layer from head to feet
    assert finished[-2:].all()
    assert not live.editable
    engine.gate.set()
    panel.wait_for(Phase.DONE)
    assert "scan · test-unet (running)" not in panel.viewer.layers
    # the same layer is the result now: napari takes long over a layer that comes or goes
    assert panel.results == [live]
    assert live.editable
    assert panel.viewer.layers.selection.active.name == live.name


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_finished_is_kept_only_if_wished(
    panel, engine, make_volume, checkpoint_file, keeps
):
    started(panel, engine, make_volume(), checkpoint_file)
    assert panel.widget.segment.keep_button.isVisibleTo(panel.widget.segment)
    (panel.widget.segment.keep_button if keeps else panel.run_button).click()
    panel.wait_until(lambda: not panel.state.phase.is_busy)
    names = [layer.name for layer in panel.results]
    assert names == (["scan · test-unet (unfinished)"] if keeps else [])
    log = panel.widget.desk.log.text
    assert ("nothing was changed" in log) is not keeps
    assert ("50% of the volume were segmented." in panel.widget.status.line.text()) is keeps


def test_the_scores_of_what_was_kept_say_that_it_is_a_part(
    panel, engine, make_volume, checkpoint_file
):
    volume = make_volume()
    truth = LabelMap(
        volume.geometry, volume.source, np.ones(volume.geometry.shape, np.uint8), SCHEME
    )
    data, attributes, _ = label_map_layer(truth, "scan_reference")
    panel.viewer.add_labels(data, **attributes)
    started(panel, engine, volume, checkpoint_file)
    engine.notes = ()
    panel.widget.segment.keep_button.click()
    engine.gate.set()
    panel.wait_until(lambda: panel.state.score is not None)
    said = "scan · test-unet (unfinished): The run was cancelled; 50% of the volume were segmented."
    assert said in panel.widget.review.notes.text()


def test_what_a_run_costs_is_said_before_it(panel, make_volume, checkpoint_file):
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    line = panel.widget.segment.cost
    assert line.text().startswith("1 window · ")
    panel.wait_until(lambda: "about 2 s" in line.text())
    panel.widget.segment.options_chosen.emit(panel.state.options.model_copy(update={"tta": True}))
    panel.wait_until(lambda: panel.state.options.tta)
    assert "about" in line.text()  # the same probe serves
    assert panel.run_button.toolTip().endswith(line.text())


def test_the_cost_is_said_for_what_was_open_before_the_panel(
    make_napari_viewer_proxy, qtbot, engine, make_volume, checkpoint_file, monkeypatch
):
    monkeypatch.setattr(
        "napari_hybridseg.widgets.checkpoint_keeper.find_checkpoints", lambda: [checkpoint_file]
    )
    viewer = make_napari_viewer_proxy()
    data, attributes, _ = volume_layers(make_volume())[0]
    viewer.add_image(data, **attributes)
    panel = Panel(viewer, qtbot)
    line = panel.widget.segment.cost
    panel.wait_until(lambda: "about 2 s" in line.text())


def test_mirroring_that_the_card_does_not_allow_costs_nothing_and_says_so(
    panel, make_volume, checkpoint_file
):
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    assert not panel.state.checkpoint.card.windows.mirror_axes
    line = panel.widget.segment.cost
    assert "mirror" not in line.text()
    panel.widget.segment.options_chosen.emit(panel.state.options.model_copy(update={"tta": True}))
    assert "the checkpoint allows no mirroring" in line.text()


def test_only_the_bodys_windows_are_counted_whatever_is_chosen_then(panel, checkpoint_file):
    grid = Geometry((40, 40, 20), (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    array = np.full((1, 20, 40, 40), -1000, np.float32)
    array[:, 8:14, 16:24, 16:24] = 40
    volume = Volume.from_stored(StoredImage(array, grid, modality="CT"), "scan")
    panel.add(volume)
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    card = panel.state.checkpoint.card
    whole, body = (
        estimate(volume, card, SegmentOptions(body_crop=crop)).windows for crop in ("off", "auto")
    )
    assert body < whole
    line = panel.widget.segment.cost
    panel.wait_until(lambda: line.text().startswith(f"{body} windows · about"))
    for change in ({"tta": True}, {"tta": False}):
        panel.widget.segment.options_chosen.emit(panel.state.options.model_copy(update=change))
        panel.wait_until(lambda: line.text().startswith(f"{body} windows"))
        assert f"{body} windows" in line.text()
    panel.widget.segment.options_chosen.emit(
        panel.state.options.model_copy(update={"body_crop": "off"})
    )
    panel.wait_until(lambda: line.text().startswith(f"{whole} windows"))
