"""Explaining in the panel: what is offered, the click, the layers, the numbers and the files."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.model_card import WindowDefaults
from napari_hybridseg.widgets.explain_layers import BOX_NAME, MARK_NAME, contrast_of, see_through
from napari_hybridseg.widgets.layer_geometry import grid_of_layer, placement_of
from napari_hybridseg.widgets.state import Phase

from .explanations import DOUBTS, HEADS, HOT, LEVELS, QUERY, SAMPLED, WEIGHTS
from .test_panel import Panel

ANGLE = np.radians(17)
OBLIQUE = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)
# stored with x to the right, y to the feet and z to the front, and turned
FLIPPED = OBLIQUE @ np.array([[-1, 0, 0], [0, 0, -1], [0, -1, 0]])


class ExplainPanel(Panel):
    """The panel with a volume whose voxels can be told apart, on an oblique, flipped grid."""

    def __init__(self, viewer: Any, qtbot: Any, volume: Any) -> None:
        super().__init__(viewer, qtbot)
        array = np.arange(volume.array.size, dtype=np.float32).reshape(volume.array.shape)
        self.volume = replace(volume, array=array)
        self.layer = self.add(self.volume)
        self.part = self.widget.explain
        self.section = self.part.section
        self.widget.explain_fold.set_open(True)

    def world_of(self, voxel: tuple[int, int, int]) -> np.ndarray:
        """Find a canonical voxel in the shown layer by its value, and say where it is shown."""
        (place,) = np.argwhere(self.layer.data == self.volume.array[0][voxel])
        return np.asarray(self.layer.data_to_world(place))

    def show(self, view: str, **options: Any) -> None:
        self.section.view_chosen.emit(view)
        chosen = self.part.state.options.model_copy(update=options)
        self.section.options_chosen.emit(chosen)
        self.section.button.click()
        self.wait_for(Phase.DONE)

    @property
    def aids(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.name != self.layer.name]


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine, make_volume) -> ExplainPanel:
    return ExplainPanel(make_napari_viewer_proxy(), qtbot, make_volume(direction=FLIPPED))


@pytest.fixture(scope="session")
def card_file(card, tmp_path_factory):
    """Give a maker of checkpoints of an architecture (their weights are of no network)."""
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint

    folder = tmp_path_factory.mktemp("cards")

    def make(architecture: str) -> Path:
        windows = WindowDefaults(size=(32, 64, 64))
        changes = {"name": architecture, "architecture": architecture, "windows": windows}
        path = folder / f"{architecture}.safetensors"
        if not path.exists():
            save_checkpoint(path, {"weight": torch.zeros(3)}, card.model_copy(update=changes))
        return path

    return make


@pytest.fixture
def tokens(panel, card_file) -> ExplainPanel:
    panel.widget.checkpoint.chosen.emit(card_file("medformer-3d"))
    return panel


@pytest.fixture
def points(panel, card_file) -> ExplainPanel:
    panel.widget.checkpoint.chosen.emit(card_file("cotr"))
    return panel


def offered(panel: ExplainPanel) -> list[str]:
    box = panel.section.view
    return [box.itemData(row) for row in range(box.count())]


def rows(panel: ExplainPanel) -> set[str]:
    section = panel.section
    return {name for name, field in section._rows.items() if field.isVisibleTo(section)}


def click_canvas(panel: ExplainPanel, world: np.ndarray, drag_px: int = 0) -> None:
    """Press where a place of the world is drawn, and let go there or some pixels away."""
    canvas = panel.viewer.window._qt_viewer.canvas
    transform = canvas.view.transform * canvas.view.scene.transform
    x, y = transform.map((world[2], world[1], 0, 1))[:2]
    events = canvas._scene_canvas.events
    events.mouse_press(pos=(x, y), modifiers=(), button=0)
    if drag_px:
        events.mouse_move(pos=(x + drag_px, y), modifiers=(), button=0)
    events.mouse_release(pos=(x + drag_px, y), modifiers=(), button=0)


def test_the_views_and_rows_are_those_of_the_network(panel, card_file, checkpoint_file):
    assert offered(panel) == []
    assert "checkpoint" in panel.section.hint.text()
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    assert "entropy" in offered(panel)
    assert not {"token-map", "sampling-points"} & set(offered(panel))
    panel.section.view_chosen.emit("grad-cam")
    assert rows(panel) == {"organ"}
    assert panel.part.state.options.organ == 1
    panel.widget.checkpoint.chosen.emit(card_file("medformer-3d"))
    assert "token-map" in offered(panel)
    panel.section.view_chosen.emit("token-map")
    assert rows(panel) == {"place", "head", "token", "direction", "smooth"}
    panel.section.view_chosen.emit("entropy")
    assert rows(panel) == set()
    steps = panel.section.form.fields["steps"].widget
    panel.section.more.set_open(True)
    assert not steps.isVisibleTo(panel.section)
    panel.section.view_chosen.emit("integrated-gradients")
    assert steps.isVisibleTo(panel.section)


def test_a_checkpoint_without_the_view_falls_back_to_one_it_has(tokens, checkpoint_file):
    tokens.section.view_chosen.emit("token-map")
    last = tokens.part.state.options.place
    assert last is not None
    tokens.widget.checkpoint.chosen.emit(checkpoint_file)
    assert tokens.section.view.key == offered(tokens)[0]
    assert tokens.part.state.options.place is None
    tokens.section.button.click()
    tokens.wait_for(Phase.DONE)


def test_a_place_keeps_head_and_token_in_its_range(tokens):
    tokens.section.view_chosen.emit("token-map")
    view = tokens.part.state.view
    wide = max(view.places, key=lambda place: place.heads)
    narrow = next(place for place in view.places if place.heads < wide.heads)
    options = tokens.part.state.options
    chosen = {"place": wide.name, "head": wide.heads - 1, "token": wide.tokens + 5}
    tokens.section.options_chosen.emit(options.model_copy(update=chosen))
    assert tokens.part.state.options.token == wide.tokens - 1
    tokens.section.place.chosen.emit(narrow.name)
    assert tokens.part.state.options.head is None


def test_a_click_into_the_canvas_chooses_the_voxel_and_shows_its_view(tokens, engine):
    tokens.section.view_chosen.emit("voxel-tokens")
    assert "Click a voxel" in tokens.section.hint.text()
    assert not tokens.section.button.isEnabled()
    world = tokens.world_of(QUERY)
    tokens.viewer.dims.set_point(range(3), tuple(world))
    tokens.section.pick_button.click()
    click_canvas(tokens, world, drag_px=12)  # moves the picture, and is no click
    assert tokens.part.state.options.point is None
    click_canvas(tokens, world)
    expected = tokens.volume.geometry.world(np.array(QUERY, dtype=float))
    assert tokens.part.state.options.point == pytest.approx(tuple(expected), abs=1e-3)
    tokens.wait_for(Phase.DONE)
    assert engine.jobs[-1].options.point == tokens.part.state.options.point
    mark = tokens.viewer.layers[MARK_NAME]
    np.testing.assert_allclose(mark.data_to_world(mark.data[0]), world)
    assert not tokens.section.pick_button.isChecked()
    count = len(engine.jobs)
    click_canvas(tokens, world)
    assert len(engine.jobs) == count


def test_a_click_beside_the_volume_is_said(tokens, engine):
    tokens.section.pick_button.click()
    click_canvas(tokens, tokens.world_of(QUERY) + 9.0)
    assert "beside the volume" in tokens.widget.status.line.text()
    assert tokens.section.pick_button.isChecked()
    assert engine.jobs == []


def test_another_volume_forgets_the_voxel_and_its_mark(tokens, make_volume):
    tokens.part.controller._pick(tuple(tokens.world_of(QUERY)))
    assert MARK_NAME in tokens.viewer.layers
    other = tokens.add(make_volume(spacing=(2, 2, 2)), "other")
    tokens.widget.volume.chosen.emit(str(other.unique_id))
    assert tokens.part.state.options.point is None
    assert MARK_NAME not in tokens.viewer.layers


def test_a_map_lies_on_its_volume_with_numbers_and_is_no_volume(tokens):
    volumes = tokens.state.volumes
    tokens.show("token-map", token=1)
    (heat,) = tokens.aids
    (place,) = np.argwhere(heat.data > 0)
    np.testing.assert_allclose(heat.data_to_world(place), tokens.world_of(HOT))
    for name in ("scale", "translate", "rotate", "units"):
        assert np.array_equal(getattr(heat, name), getattr(tokens.layer, name))
    assert heat.colorbar.visible
    assert tuple(heat.contrast_limits) == (0, 0.5)
    assert "per cent" in heat.name
    assert tokens.state.volumes == volumes
    tokens.show("winning-token")
    (labels,) = tokens.aids
    (place,) = np.argwhere(labels.data == 1)
    np.testing.assert_allclose(labels.data_to_world(place), tokens.world_of(HOT))
    assert tokens.state.label_maps == ()
    assert not labels.editable


def test_the_picture_says_what_its_colours_are_while_they_are_seen(tokens):
    overlay = tokens.viewer.text_overlay
    tokens.show("token-map", token=1)
    assert overlay.text == "one voxel [per cent]"
    assert overlay.visible
    tokens.aids[0].visible = False
    assert not overlay.visible
    tokens.aids[0].visible = True
    assert overlay.visible
    tokens.show("uncertain-regions")
    assert overlay.text == "one voxel [per cent]", "the colour bar's words, not the regions'"
    tokens.viewer.layers.remove(tokens.aids[0])
    assert (overlay.text, overlay.visible) == ("", False)
    overlay.text = "mine"
    tokens.show("token-map", token=1)
    tokens.viewer.layers.remove(tokens.aids[0])
    assert overlay.text == "mine"


def test_sampling_points_lie_at_their_voxels_with_their_weights(points):
    query = tuple(float(v) for v in points.volume.geometry.world(np.array(QUERY, dtype=float)))
    points.show("sampling-points", point=query)
    vectors, drawn, box = points.aids
    expected = np.array([points.world_of(voxel) for voxel in SAMPLED])
    np.testing.assert_allclose([drawn.data_to_world(p) for p in drawn.data], expected, atol=1e-9)
    start, way = vectors.data[:, 0], vectors.data[:, 1]
    np.testing.assert_allclose(
        [vectors.data_to_world(p) for p in start], [points.world_of(QUERY)] * 4, atol=1e-9
    )
    np.testing.assert_allclose(start + way, drawn.data, atol=1e-9)
    assert list(drawn.features["weight"]) == list(np.float32(WEIGHTS))
    assert drawn.size.argmax() == int(np.argmax(WEIGHTS))
    assert box.name == BOX_NAME
    assert points.viewer.layers.selection.active.name == drawn.name
    points.viewer.dims.set_point(range(3), tuple(expected[0]))
    status = drawn.get_status(expected[0], dims_displayed=[1, 2], world=True)
    assert "weight: 0.75" in status["value"]


def test_the_picture_says_what_tells_points_apart(points):
    query = tuple(float(v) for v in points.volume.geometry.world(np.array(QUERY, dtype=float)))
    points.show("sampling-points", point=query)
    title = points.part.state.explanation.products[0].title
    overlay = points.viewer.text_overlay
    assert " ".join(overlay.text.split()) == f"{title} [colour: head, size: weight]"
    points.section.colour_chosen.emit("level")
    assert " ".join(overlay.text.split()) == f"{title} [colour: level, size: weight]"
    points.viewer.layers.remove(points.aids[1])
    points.section.colour_chosen.emit("head")
    assert overlay.text == ""


def test_points_are_coloured_by_head_or_by_level(points):
    points.section.view_chosen.emit("sampling-points")
    assert points.section.colour.isVisibleTo(points.section)
    points.show("sampling-points", point=(0.0, 20.0, 30.0), level=1)
    _, drawn, _ = points.aids

    def groups(colours: np.ndarray) -> list[int]:
        return list(np.unique(colours, axis=0, return_inverse=True)[1].ravel())

    def same(found: list[int], wanted: tuple[int, ...]) -> bool:
        return found in (list(wanted), [1 - number for number in wanted])

    assert same(groups(drawn.face_color), HEADS)
    points.section.colour.chosen.emit("level")
    assert same(groups(drawn.face_color), LEVELS)
    assert same(groups(points.aids[0].edge_color), LEVELS)
    points.section.view_chosen.emit("entropy")
    assert not points.section.colour.isVisibleTo(points.section)


def test_the_window_is_outlined_where_it_lies(points):
    points.show("sampling-points", point=(0.0, 20.0, 30.0))
    box = points.viewer.layers[BOX_NAME]
    assert box.bounding_box.visible
    (first, last) = box.extent.world
    half = np.asarray(box.scale) / 2
    low, high = points.world_of((0, 1, 2)), points.world_of((3, 3, 5))
    step = np.asarray(points.layer.scale) / 2
    np.testing.assert_allclose(first - half, np.minimum(low, high) - step, atol=1e-6)
    np.testing.assert_allclose(last + half, np.maximum(low, high) + step, atol=1e-6)


def test_the_outline_of_a_slice_leaves_the_sliders_their_steps(points):
    steps = [r.step for r in points.viewer.dims.range]
    points.show("sampling-points", point=(0.0, 20.0, 30.0))
    shown = points.part.state.explanation
    one_slice = replace(shown.window, low=(0.5, -0.5, -0.5), high=(1.5, 3.5, 5.5))
    layers, grid = points.part.controller._layers, grid_of_layer(points.layer)
    layers.show(replace(shown, window=one_slice), grid, placement_of(points.layer), "scan")
    np.testing.assert_allclose([r.step for r in points.viewer.dims.range], steps)
    box = points.viewer.layers[BOX_NAME]
    (first, last) = box.extent.world
    high = np.abs(last - first + np.asarray(box.scale))
    np.testing.assert_allclose(high, np.asarray(points.layer.scale) * (1, 4, 6))


def press(panel: ExplainPanel, x: float, y: float) -> None:
    """Click into the chart, at a place of its data."""
    from matplotlib.backend_bases import MouseEvent

    canvas = panel.part.chart.canvas
    axes = canvas.figure.axes[0]
    canvas.draw()
    place = axes.transData.transform((x, y))
    canvas.callbacks.process(
        "button_press_event", MouseEvent("button_press_event", canvas, *place, button=1)
    )
    panel.wait_until(lambda: not panel.state.phase.is_busy)


def test_a_bar_is_a_click_away_from_its_tokens_map_and_so_is_the_next(tokens, engine):
    pytest.importorskip("matplotlib")
    tokens.section.view_chosen.emit("voxel-tokens")
    place = tokens.part.state.view.places[0].name
    tokens.show("voxel-tokens", place=place, point=(0.0, 20.0, 30.0), head=1)
    assert tokens.part.chart.canvas is not None
    press(tokens, 2, 0.1)
    asked = engine.jobs[-1].options
    assert (asked.view, asked.token, asked.place, asked.head) == ("token-map", 2, place, 1)
    assert asked.direction == "token-to-map"
    press(tokens, 3.2, 0.1)
    assert engine.jobs[-1].options.token == 3
    assert engine.jobs[-1].options.direction == "token-to-map"
    dock = tokens.part._dock
    assert not dock.isHidden()
    tokens.show("entropy")
    assert tokens.part.chart.canvas is None
    assert dock.isHidden(), "an empty dock takes a third of the window"
    tokens.show("token-organs")
    assert not dock.isHidden()


def test_a_row_of_tokens_and_organs_is_a_click_away_from_its_map(tokens, engine):
    pytest.importorskip("matplotlib")
    tokens.show("token-organs")
    press(tokens, 1, 3)
    asked = engine.jobs[-1].options
    assert (asked.view, asked.token, asked.direction) == ("token-map", 3, "map-to-token")
    count = len(engine.jobs)
    tokens.show("fusion-attention")
    press(tokens, 1, 3)
    assert len(engine.jobs) == count + 1
    assert "no heat map" in tokens.widget.status.line.text()


def shown_voxel(panel: ExplainPanel) -> np.ndarray:
    return np.asarray(panel.viewer.dims.point)


def test_uncertain_regions_are_visited_in_turn_and_by_a_click(panel, checkpoint_file):
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    assert not panel.section.next_button.isEnabled()
    panel.section.doubt_button.click()
    panel.wait_for(Phase.DONE)
    places = [panel.world_of(voxel) for voxel in DOUBTS]
    np.testing.assert_allclose(shown_voxel(panel), places[0])
    np.testing.assert_allclose(panel.viewer.camera.center, places[0])
    assert "region 1 of 3" in panel.widget.status.line.text()
    panel.section.next_button.click()
    np.testing.assert_allclose(shown_voxel(panel), places[1])
    table = panel.part.chart.table
    assert {item.row() for item in table.selectedItems()} == {1}
    table.cellClicked.emit(2, 0)
    np.testing.assert_allclose(shown_voxel(panel), places[2])
    panel.section.next_button.click()
    np.testing.assert_allclose(shown_voxel(panel), places[0])


def test_picture_and_data_are_saved(points, tmp_path):
    pytest.importorskip("matplotlib")
    assert not points.section.figure_button.isEnabled()
    points.show("sampling-points", point=(0.0, 20.0, 30.0))
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        points.section.figure_wanted.emit(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    folder = tmp_path / "data"
    points.section.data_wanted.emit(folder)
    with next(folder.glob("*.csv")).open() as file:
        found = list(csv.DictReader(file))
    expected = points.volume.geometry.world(np.array(SAMPLED, dtype=float))
    assert [float(row["x_mm"]) for row in found] == pytest.approx(list(expected[:, 0]))
    assert [float(row["weight"]) for row in found] == pytest.approx(WEIGHTS)
    assert (folder / "index.json").is_file()
    assert np.load(folder / "sampling-points.npz")["0/weights"].shape == (4,)
    points.section.data_wanted.emit(folder)
    assert "not empty" in points.widget.status.line.text()


def test_the_next_explanation_takes_the_place_of_the_last(points):
    points.show("sampling-points", point=(0.0, 20.0, 30.0))
    assert len(points.aids) == 3
    points.viewer.layers.remove(BOX_NAME)  # the user may
    points.show("entropy")
    assert len(points.aids) == 1
    points.show("margin")
    (heat,) = points.aids
    assert points.part.state.explanation.view.name == "margin"
    assert heat.visible


def test_a_failed_or_cancelled_run_is_said_and_leaves_what_is_shown(panel, engine, checkpoint_file):
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.show("entropy")
    (before,) = panel.aids
    engine.failure = HybridSegError("The GPU ran out of memory.")
    panel.section.button.click()
    panel.wait_for(Phase.FAILED)
    assert "ran out of memory" in panel.widget.status.line.text()
    engine.failure = None
    engine.gate.clear()
    panel.section.button.click()
    panel.wait_until(lambda: panel.section.button.text() == "Cancel")
    assert not panel.section.doubt_button.isEnabled()
    panel.section.button.click()
    panel.wait_for(Phase.IDLE)
    assert "nothing was changed" in panel.widget.status.line.text()
    assert panel.aids == [before]
    engine.gate.set()
    panel.show("margin")
    assert len(panel.aids) == 1


def test_a_closed_panel_hears_no_clicks(tokens):
    callbacks = tokens.viewer.mouse_drag_callbacks
    before = len(callbacks)
    tokens.section.pick_button.click()
    assert len(callbacks) == before + 1
    tokens.part.close()
    tokens.part.close()
    assert len(callbacks) == before


def test_colours_are_see_through_where_there_is_little():
    for is_diverging, least in ((False, 0), (True, 128)):
        alpha = np.asarray(see_through(is_diverging).colors)[:, 3]
        assert abs(int(alpha.argmin()) - least) <= 1
        assert alpha[-1] == pytest.approx(0.85)


def test_a_map_with_a_middle_has_it_in_the_middle_of_its_colours(make_volume):
    from .explanations import one_hot

    heat = one_hot(make_volume(), {(0, 0, 0): -4.0, (1, 1, 1): 2.0})
    low, high = contrast_of(replace(heat, scale="diverging"))
    assert low == -high < 0
    assert contrast_of(heat) == (-4, 2)
    assert contrast_of(replace(heat, array=np.zeros_like(heat.array))) == (0, 1)
    assert contrast_of(replace(heat, limits=(0.0, 1.5))) == (0, 1.5)


@pytest.mark.slow
def test_the_engines_own_process_explains(make_napari_viewer_proxy, qtbot, make_volume, tmp_path):
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint
    from napari_hybridseg.labels import LabelScheme
    from napari_hybridseg.model_card import ModelCard
    from napari_hybridseg.networks import create_network

    config = {"channels": (4, 8), "strides": (2,)}
    torch.manual_seed(0)
    network = create_network("unet", 1, 3, **config)
    card = ModelCard(
        name="random-unet",
        architecture="unet",
        config=config,
        labels=LabelScheme.from_names({1: "liver", 2: "spleen"}),
        windows=WindowDefaults(size=(8, 8, 8)),
    )
    save_checkpoint(tmp_path / "random-unet.safetensors", network.state_dict(), card)
    panel = ExplainPanel(make_napari_viewer_proxy(), qtbot, make_volume(direction=FLIPPED))
    panel.widget.checkpoint.chosen.emit(tmp_path / "random-unet.safetensors")
    panel.section.view_chosen.emit("receptive-field")
    panel.part.controller._pick(tuple(panel.world_of(QUERY)))
    qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=120_000)
    assert panel.state.phase is Phase.DONE, panel.widget.controller.report()
    (heat,) = (layer for layer in panel.aids if "receptive field" in layer.name)
    assert np.array_equal(heat.scale, panel.layer.scale)
    np.testing.assert_allclose(
        heat.data, gradient_by_hand(panel, tmp_path / "random-unet.safetensors"), rtol=1e-3
    )
    strongest = np.unravel_index(int(heat.data.argmax()), heat.data.shape)
    away = heat.data_to_world(strongest) - panel.world_of(QUERY)
    assert np.linalg.norm(away) <= np.linalg.norm(panel.layer.scale)


def gradient_by_hand(panel: ExplainPanel, path: Path) -> np.ndarray:
    """Give the share of the clicked voxel's gradient in each voxel of the shown layer."""
    import torch

    from napari_hybridseg.checkpoint import load_checkpoint
    from napari_hybridseg.inference.preprocess import prepare

    checkpoint = load_checkpoint(path)
    prepared = prepare(panel.volume, checkpoint.card.preprocessing)
    window = panel.part.state.explanation.window
    before = -np.rint(np.array(window.low) + 0.5).astype(int)
    ends = [(int(b), int(8 - b - n)) for b, n in zip(before, prepared.working.shape, strict=True)]
    padded = torch.from_numpy(np.pad(prepared.array, [(0, 0), *ends]))[None].requires_grad_()
    z, y, x = np.array(QUERY) + before
    logits = checkpoint.build_network()(padded)
    logits[0, int(logits[0, :, z, y, x].argmax()), z, y, x].backward()
    size = padded.grad[0].abs().sum(dim=0).numpy()
    inside = tuple(slice(b, b + n) for b, n in zip(before, prepared.working.shape, strict=True))
    return grid_of_layer(panel.layer).to_layer(size[inside] / size.sum())
