"""Strokes and tools in every view: along any axis, as balls, in 3D and on an oblique scan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_hybridseg.corrections.boxes import Box
from napari_hybridseg.engine.jobs import RepairJob
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.volume import Volume
from napari_hybridseg.widgets.correct_state import RangeBrush
from napari_hybridseg.widgets.correct_tools import TOOLS
from napari_hybridseg.widgets.edit_boxes import box_to_layer
from napari_hybridseg.widgets.state import Phase

from .test_correct import LIVER, SPLEEN, Corrector

ORDERS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
STRAIGHT = np.eye(3)
OBLIQUE = Rotation.from_euler("xyz", (12, -9, 17), degrees=True).as_matrix()


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Corrector:
    return Corrector(make_napari_viewer_proxy(), qtbot)


def block(direction: np.ndarray) -> Volume:
    """Give a bright block in a scan that is larger than what a stroke may change."""
    grid = Geometry((17, 16, 15), (4.0, 5.0, 6.0), (-30.0, 12.0, 9.0), tuple(np.ravel(direction)))
    array = np.full(grid.shape, -1.0, np.float32)
    array[4:11, 4:12, 4:13] = 1.0
    return Volume.from_stored(StoredImage(array[None], grid, modality="CT"), "scan")


def begun(panel: Corrector, checkpoint_file: Any, direction: np.ndarray) -> Any:
    panel.add(block(direction))
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    return panel.begin()


def draw(panel: Corrector, text: str, at: tuple[int, ...], edit_dimensions: int) -> Any:
    """Choose what a stroke says and press the brush down once."""
    said = next(said for said in panel.correct.state.statements if said.text == text)
    panel.correct.section.strokes.statement_chosen.emit(said.value)
    strokes = panel.viewer.layers["scan · strokes"]
    strokes.n_edit_dimensions = edit_dimensions
    strokes.brush_size = 3
    with strokes.block_history():
        strokes.paint(at, said.value)
    return strokes


def repaired(panel: Corrector, engine: Any, before: np.ndarray, layer: Any) -> RepairJob:
    """Press 'Repair' and give what the engine was asked."""
    count = len(engine.jobs)
    button = panel.correct.section.strokes.repair_button
    panel.wait_until(button.isEnabled)
    button.click()
    panel.wait_until(lambda: not np.array_equal(layer.data, before))
    (job,) = (job for job in engine.jobs[count:] if isinstance(job, RepairJob))
    return job


def region_of(panel: Corrector, job: RepairJob) -> Box:
    """Say in the layer's order what a repair was allowed to change."""
    z, y, x = (
        slice(first, first + length)
        for first, length in zip(job.start, job.labels.shape, strict=True)
    )
    return box_to_layer(panel.now.session.origin.grid, (z, y, x))


def check(panel: Corrector, job: RepairJob, before: np.ndarray, strokes: Any) -> None:
    """Look that strokes are obeyed, the rest of the scan is as it was, and one undo suffices."""
    after = np.array(panel.working.data)
    outside = np.ones(after.shape, bool)
    outside[region_of(panel, job)] = False
    assert outside.any()
    assert np.array_equal(after[outside], before[outside])
    drawn = np.argwhere(strokes.data)
    assert len(job.strokes) == len(drawn)
    said = {said.value: said for said in panel.correct.state.statements}
    for place in map(tuple, drawn):
        statement = said[int(strokes.data[place])]
        assert (after[place] == statement.organ) != statement.is_not
    panel.correct.section.undo_button.click()
    assert np.array_equal(panel.working.data, before)
    panel.correct.section.redo_button.click()
    assert np.array_equal(panel.working.data, after)
    panel.correct.section.undo_button.click()
    panel.correct.section.strokes.clear_button.click()
    assert not strokes.data.any()


@pytest.mark.parametrize(
    ("view", "direction"),
    [*((view, STRAIGHT) for view in ORDERS), *((v, OBLIQUE) for v in ("coronal", "sagittal"))],
    ids=[*ORDERS, "oblique coronal", "oblique sagittal"],
)
def test_strokes_are_obeyed_in_every_view(panel, engine, checkpoint_file, view, direction):
    layer = begun(panel, checkpoint_file, direction)
    before = np.array(layer.data)
    across, *shown = order = ORDERS[view]
    panel.viewer.dims.order = order
    low = np.argwhere(before == LIVER).min(axis=0)
    inside = tuple(map(int, low + 2))
    beside = list(inside)
    beside[shown[-1]] = int(low[shown[-1]]) - 2
    panel.viewer.dims.set_point(across, layer.data_to_world(inside)[across])
    for scope in ("volume", "slice"):
        for edit_dimensions in (2, 3):
            panel.correct.section.strokes.scope.chosen.emit(scope)
            draw(panel, "is spleen", tuple(beside), edit_dimensions)
            strokes = draw(panel, "is not liver", inside, edit_dimensions)
            drawn = np.argwhere(strokes.data)
            extent = np.ptp(drawn, axis=0) + 1
            assert (extent[across] > 1) == (edit_dimensions == 3)
            assert (extent[shown] > 1).all()
            job = repaired(panel, engine, before, layer)
            region = region_of(panel, job)
            lengths = np.array([part.stop - part.start for part in region])
            if scope == "slice":
                assert job.options.axis == across
                assert lengths[across] == extent[across]
            else:
                assert job.options.axis is None
                assert lengths[across] > extent[across]
            assert (lengths[shown] > extent[shown]).all()
            check(panel, job, before, strokes)


def test_balls_that_are_painted_in_a_3d_view_are_obeyed(panel, engine, checkpoint_file):
    layer = begun(panel, checkpoint_file, OBLIQUE)
    before = np.array(layer.data)
    panel.viewer.dims.ndisplay = 3
    corner = tuple(map(int, np.argwhere(before == LIVER).max(axis=0)))
    strokes = draw(panel, "is background", corner, 3)
    assert (np.ptp(np.argwhere(strokes.data), axis=0) > 0).all()
    check(panel, repaired(panel, engine, before, layer), before, strokes)


def click(panel: Corrector, place: tuple[int, ...]) -> None:
    """Click into the canvas at a voxel of the correction."""
    (heard,) = panel.viewer.mouse_drag_callbacks[-1:]
    world = panel.working.data_to_world(place)
    event = SimpleNamespace(pos=(5.0, 5.0), position=world, type="mouse_press")
    drag = heard(panel.viewer, event)
    next(drag)
    event.type = "mouse_release"
    next(drag, None)


@pytest.mark.parametrize("view", ORDERS)
def test_every_tool_is_one_undo_step_in_2d_and_in_3d(panel, engine, checkpoint_file, view):
    layer = begun(panel, checkpoint_file, STRAIGHT)
    across, first, _ = order = ORDERS[view]
    panel.viewer.dims.order = order
    middle = np.argwhere(layer.data == LIVER).mean(axis=0).round().astype(int)
    layer.data_setitem(tuple(middle[:, None]), 0)  # a hole in the slice that is shown
    alone = middle.copy()
    alone[first] = 0
    layer.data_setitem(tuple(alone[:, None]), LIVER)  # and an island
    for step in (-1, 2):
        ends = [slice(0, 2)] * 3
        ends[across] = slice(middle[across] + step, middle[across] + step + 1)
        layer.data_setitem(tuple(axis.ravel() for axis in np.mgrid[tuple(ends)]), SPLEEN)
    panel.viewer.dims.set_point(across, layer.data_to_world(middle)[across])
    panel.now.watch.look()
    before = np.array(layer.data)
    section, state = panel.correct.section, panel.correct.state
    choices = {"into": SPLEEN, "width_mm": 12.0}
    section.tools.choices_chosen.emit(state.choices.model_copy(update=choices))
    for tool in TOOLS:
        layer.selected_label = SPLEEN if tool.key == "interpolate" else LIVER
        for scope in ("volume", "slice"):
            section.tools.scope.chosen.emit(scope)
            button = section.tools.buttons[tool.key]
            assert button.text().endswith(f"({tool.letter})")
            panel.wait_until(button.isEnabled)
            button.click()
            if tool.clicks:
                click(panel, tuple(alone))
            panel.wait_until(lambda: not np.array_equal(layer.data, before))
            panel.wait_until(lambda: not state.working)
            changed = np.argwhere(layer.data != before)
            if scope == "slice":
                assert set(changed[:, across]) == {middle[across]}, tool.key
            elif tool.key not in ("fill-holes", "keep-largest", "remove-islands", "split"):
                assert len(set(changed[:, across])) > 1, tool.key
            section.undo_button.click()
            assert np.array_equal(layer.data, before), tool.key


def test_a_limited_ball_is_one_undo_step_in_every_view(panel, engine, checkpoint_file):
    layer = begun(panel, checkpoint_file, STRAIGHT)
    before = np.array(layer.data)
    image = np.asarray(panel.viewer.layers["scan"].data)
    panel.correct.section.tools.brush_chosen.emit(RangeBrush(True, 0.5, 1.5))
    layer.n_edit_dimensions, layer.brush_size = 3, 5
    edge = tuple(map(int, np.argwhere(before == LIVER).max(axis=0)))
    for order in ORDERS.values():
        panel.viewer.dims.order = order
        with layer.block_history():
            layer.paint(edge, SPLEEN)
        painted = layer.data == SPLEEN
        assert (np.ptp(np.argwhere(painted), axis=0) > 0).all()
        assert image[painted].min() > 0.5
        layer.undo()
        assert np.array_equal(layer.data, before)
