"""Correcting in the panel: painting, autosave, accepting, tools and strokes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.corrections.assist.jobs import repair_region
from napari_hybridseg.corrections.assist.reports import Ranked, Ranking, TeachReport
from napari_hybridseg.corrections.verifying import verify_set
from napari_hybridseg.engine.jobs import RankJob, RepairJob, TeachJob
from napari_hybridseg.formats import write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.correct_desk import OpenCorrection
from napari_hybridseg.widgets.correct_layers import role_of
from napari_hybridseg.widgets.correct_state import RangeBrush
from napari_hybridseg.widgets.dock import HybridSegWidget
from napari_hybridseg.widgets.layer_data import label_map_layer
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Phase

from .conftest import SCHEME
from .test_panel import Panel

LIVER, SPLEEN = 1, 2
SHARED = ("volume", "start", "labels", "strokes")


class Corrector(Panel):
    """What a user does in the Correct section."""

    @property
    def correct(self) -> Any:
        return self.widget.correct

    @property
    def working(self) -> Any:
        return self.viewer.layers["scan · correction"]

    @property
    def now(self) -> OpenCorrection:
        correction = self.correct.controller.correction
        assert correction is not None
        return correction

    def begin(self) -> Any:
        self.correct.section.begin_button.click()
        self.wait_until(lambda: self.now.session.autosave is not None)
        return self.working

    def paint(self, places: list[tuple[int, int, int]], label: int = SPLEEN) -> None:
        self.working.data_setitem(tuple(np.array(places).T), label)

    def line(self) -> str:
        return str(self.widget.status.line.text())


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Corrector:
    return Corrector(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def segmented(panel, make_volume, checkpoint_file) -> Corrector:
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    return panel


def places_of(panel: Corrector, label: int, count: int) -> list[tuple[int, int, int]]:
    return [tuple(int(v) for v in p) for p in np.argwhere(panel.working.data == label)[:count]]


def test_painting_is_counted_outlined_and_undone(segmented):
    layer = segmented.begin()
    result = segmented.viewer.layers["scan · test-unet"]
    assert not result.editable
    assert not result.visible
    assert layer.editable
    assert segmented.state.label_map == str(layer.unique_id)
    assert np.array_equal(layer.scale, result.scale)
    assert np.array_equal(layer.translate, result.translate)
    places = places_of(segmented, LIVER, 3)
    segmented.paint(places)
    section = segmented.correct.section
    expected = "edited: liver 3 voxels (+0 −3), spleen 3 voxels (+3 −0)"
    assert expected in section.line.text()
    outline = segmented.viewer.layers["scan · edited"]
    assert sorted(map(tuple, np.argwhere(outline.data))) == sorted(places)
    assert "scan · edited" not in [choice.text for choice in segmented.state.label_maps]
    layer.undo()
    segmented.wait_until(lambda: "nothing is edited" in section.line.text())
    assert not outline.data.any()
    layer.redo()
    segmented.wait_until(lambda: expected in section.line.text())
    assert not np.array_equal(layer.data, result.data)


def test_what_was_painted_is_offered_again_and_restored(
    segmented, qtbot, journals, make_napari_viewer_proxy, make_volume, checkpoint_file
):
    assert not segmented.widget.correct_fold.is_open  # nothing is left from before
    segmented.begin()
    segmented.paint(places_of(segmented, LIVER, 4))
    painted = np.array(segmented.working.data)
    segmented.widget._close()
    assert list(journals.iterdir())
    segmented.viewer.layers.clear()

    second = HybridSegWidget(segmented.viewer, Settings())
    qtbot.addWidget(second)
    segmented.widget, segmented.state = second, second.state
    qtbot.waitUntil(lambda: len(second.correct.state.recoverable) == 1)
    row = second.correct.section.left.rows[0]
    assert second.correct_fold.is_open
    assert row.isVisibleTo(second)
    (left,) = second.correct.state.recoverable
    second.correct.section.left.restore_wanted.emit(left)
    segmented.wait_until(lambda: "Open the scan 'scan'" in second.status.line.text())
    other = segmented.add(make_volume(origin=(0.0, 0.0, 0.0)), name="other")
    other.data[0, 0, 0] += 1
    segmented.add(make_volume())
    second.checkpoint.chosen.emit(checkpoint_file)
    second.correct.section.left.restore_wanted.emit(left)
    segmented.wait_until(lambda: "scan · correction" in segmented.viewer.layers)
    assert np.array_equal(segmented.working.data, painted)
    assert not segmented.viewer.layers["scan · network"].editable
    segmented.wait_until(lambda: not second.correct.state.recoverable)
    segmented.wait_until(lambda: len(list(journals.iterdir())) == 1)  # its own, new one
    assert segmented.now.session.edited_voxels == 4
    segmented.paint([(0, 0, 0)], LIVER if painted[0, 0, 0] != LIVER else SPLEEN)
    segmented.working.undo()
    assert np.array_equal(segmented.working.data, painted)
    second._close()


def test_an_accepted_case_verifies_and_teach_counts_it(segmented, tmp_path, journals):
    layer = segmented.begin()
    segmented.paint(places_of(segmented, LIVER, 5))
    folder = tmp_path / "set"
    section = segmented.correct.section
    assert "Choose the set" in section.accept_button.toolTip()
    section.set_chosen.emit(folder)
    section.accept_button.click()
    segmented.wait_until(lambda: "Accepted as" in segmented.line())
    *_, last = verify_set(folder)
    assert last.value.problems == ()
    (case,) = CorrectionSet.open(folder).cases
    assert case.manifest.edited_voxels == 5
    assert case.checkpoint_sha256
    assert case.card is not None
    assert layer.name == "scan · accepted (case-0001)"
    assert not layer.editable
    assert "scan · edited" not in segmented.viewer.layers
    assert segmented.widget.teach.section.set_line.text() == "set: 1 case"
    segmented.wait_until(lambda: not list(journals.iterdir()))
    section.begin_button.click()  # once more, from the accepted one
    assert segmented.now.session.edited_voxels == 5
    segmented.wait_until(lambda: segmented.now.session.autosave is not None)


def test_a_disk_that_refuses_leaves_everything_as_it_was(segmented, tmp_path, monkeypatch):
    layer = segmented.begin()
    segmented.paint(places_of(segmented, LIVER, 2))
    segmented.correct.section.set_chosen.emit(tmp_path / "set")

    def refuse(*_: object) -> None:
        raise WriteError("The disk is full.")

    monkeypatch.setattr("napari_hybridseg.widgets.correct_accepting.accept", refuse)
    segmented.correct.section.accept_button.click()
    segmented.wait_for(Phase.FAILED)
    assert "The disk is full." in segmented.line()
    assert layer.editable
    assert segmented.now.session.edited_voxels == 2
    assert segmented.now.session.autosave is not None
    layer.undo()
    assert not (layer.data == SPLEEN).any()
    assert segmented.correct.section.accept_button.isEnabled()


def test_closing_while_accepting_waits_for_the_set(segmented, tmp_path, journals):
    segmented.begin()
    segmented.paint(places_of(segmented, LIVER, 2))
    segmented.correct.section.set_chosen.emit(tmp_path / "set")
    segmented.correct.section.accept_button.click()
    segmented.widget._close()
    assert len(CorrectionSet.open(tmp_path / "set").cases) == 1
    assert not list(journals.iterdir())


def test_a_tool_is_one_undo_step(segmented):
    layer = segmented.begin()
    before = np.array(layer.data)
    middle = tuple(int(v) for v in np.argwhere(layer.data == LIVER).mean(axis=0).round())
    alone = next(tuple(map(int, p)) for p in np.argwhere(layer.data == 0))
    segmented.paint([alone], LIVER)
    layer.selected_label = LIVER
    assert segmented.correct.section.tools.buttons["keep-largest"].isEnabled()
    segmented.paint([middle], 0)
    painted = np.array(layer.data)
    segmented.correct.section.tools.wanted.emit("remove-islands")
    segmented.wait_until(
        lambda: "Remove islands" in segmented.line() and "changed" in segmented.line()
    )
    assert layer.data[alone] == 0 or (before == LIVER).sum() == 1
    assert not np.array_equal(layer.data, painted)
    segmented.correct.section.undo_button.click()
    assert np.array_equal(layer.data, painted)
    merge = segmented.correct.section.tools.buttons["merge"]
    assert not merge.isEnabled()
    assert "which organ" in merge.toolTip()


def test_a_tool_that_fails_beside_a_job_leaves_the_job_alone(segmented, engine):
    layer = segmented.begin()
    layer.selected_label = SPLEEN  # painted nowhere, so that there is nothing in between
    engine.gate.clear()
    segmented.run_button.click()
    segmented.correct.section.tools.wanted.emit("interpolate")
    segmented.wait_until(lambda: "at least two slices" in segmented.widget.desk.log.text)
    assert segmented.state.phase is Phase.RUNNING
    assert not segmented.correct.state.working
    engine.gate.set()
    segmented.wait_for(Phase.DONE)
    assert "scan · correction" in segmented.viewer.layers


def test_a_letter_works_while_correcting_only(segmented):
    before = {str(key) for key in segmented.viewer.keymap}
    segmented.begin()
    assert {"H", "K", "R"} <= {str(key) for key in segmented.viewer.keymap}
    segmented.viewer.layers.remove("scan · correction")
    assert {str(key) for key in segmented.viewer.keymap} == before


def test_a_limited_stroke_is_one_undo_step(segmented):
    layer = segmented.begin()
    before = np.array(layer.data)
    image = np.asarray(segmented.viewer.layers["scan"].data)
    low, high = np.percentile(image, [20, 50])
    segmented.correct.section.tools.brush_chosen.emit(RangeBrush(True, float(low), float(high)))
    assert layer.mode == "paint"
    layer.brush_size = 5
    with layer.block_history():
        layer.paint((1, 2, 2), SPLEEN)
    painted = layer.data == SPLEEN
    assert painted.any()
    assert image[painted].min() >= low
    assert image[painted].max() <= high
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_strokes_are_obeyed_and_kept(segmented, engine):
    layer = segmented.begin()
    before = np.array(layer.data)
    section = segmented.correct.section
    assert not section.strokes.repair_button.isEnabled()
    spleen = next(said for said in segmented.correct.state.statements if said.text == "is spleen")
    section.strokes.statement_chosen.emit(spleen.value)
    strokes = segmented.viewer.layers["scan · strokes"]
    place = tuple(map(int, np.argwhere(layer.data == 0)[0]))
    strokes.data_setitem(tuple(np.array([place]).T), spleen.value)
    segmented.wait_until(section.strokes.repair_button.isEnabled)
    section.strokes.repair_button.click()
    segmented.wait_until(lambda: layer.data[place] == SPLEEN)
    job = next(job for job in engine.jobs if isinstance(job, RepairJob))
    assert len(job.fresh) == 1
    segmented.wait_until(lambda: "0 of them new" in section.strokes.line.text())
    section.undo_button.click()
    assert np.array_equal(layer.data, before)
    section.strokes.clear_button.click()
    assert not strokes.data.any()


def test_the_engine_gets_ready_while_the_user_draws(segmented, engine):
    layer = segmented.begin()
    segmented.wait_until(lambda: len(engine.made_ready) == 1)
    first = engine.made_ready[0]
    assert first.region is None
    assert first.checkpoint == segmented.now.session.origin.checkpoint
    said = segmented.correct.state.statements[0]
    segmented.correct.section.strokes.statement_chosen.emit(said.value)
    strokes = segmented.viewer.layers["scan · strokes"]
    engine.gate.clear()
    segmented.run_button.click()  # while the engine is at work, getting ready waits
    place = tuple(map(int, np.argwhere(layer.data == 0)[0]))
    strokes.data_setitem(tuple(np.array([place]).T), said.value)
    segmented.wait_until(lambda: segmented.correct.state.correction.fresh_strokes == 1)
    engine.gate.set()
    segmented.wait_until(lambda: len(engine.made_ready) == 2)
    region = engine.made_ready[1].region
    segmented.wait_until(segmented.correct.section.strokes.repair_button.isEnabled)
    segmented.correct.section.strokes.repair_button.click()
    segmented.wait_until(lambda: any(isinstance(job, RepairJob) for job in engine.jobs))
    job = next(job for job in engine.jobs if isinstance(job, RepairJob))
    assert (region.start, region.shape) == (job.start, job.labels.shape)


def test_a_repair_in_the_slice_is_chosen_beside_the_strokes(segmented, engine):
    layer = segmented.begin()
    section = segmented.correct.section
    said = segmented.correct.state.statements[0]
    section.strokes.statement_chosen.emit(said.value)
    section.strokes.scope.chosen.emit("slice")
    assert segmented.correct.state.choices.in_slice
    assert section.tools.scope.key == "slice"
    strokes = segmented.viewer.layers["scan · strokes"]
    place = tuple(map(int, np.argwhere(layer.data == 0)[0]))
    strokes.data_setitem(tuple(np.array([place]).T), said.value)
    segmented.wait_until(section.strokes.repair_button.isEnabled)
    section.strokes.repair_button.click()
    segmented.wait_until(lambda: any(isinstance(job, RepairJob) for job in engine.jobs))
    job = next(job for job in engine.jobs if isinstance(job, RepairJob))
    assert job.options.axis == 0
    assert job.labels.shape[0] == 1
    section.strokes.scope.chosen.emit("volume")
    assert not segmented.correct.state.choices.in_slice


def test_interpolation_fills_the_shown_slice_alone(segmented):
    layer = segmented.begin()
    segmented.paint([(z, y, x) for z in (0, 3) for y in range(1, 4) for x in range(1, 4)], SPLEEN)
    before = np.array(layer.data)
    layer.selected_label = SPLEEN
    segmented.correct.section.tools.scope.chosen.emit("slice")
    segmented.viewer.dims.set_point(0, layer.data_to_world((1, 0, 0))[0])
    segmented.correct.section.tools.buttons["interpolate"].click()
    segmented.wait_until(lambda: not np.array_equal(layer.data, before))
    changed = np.flatnonzero((layer.data != before).any(axis=(1, 2)))
    assert changed.tolist() == [1]
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_every_shortcut_is_on_its_button(segmented):
    segmented.begin()
    section = segmented.correct.section
    keys = {str(key): act for key, act in segmented.viewer.keymap.items()}
    shown = {
        button.text().rpartition("(")[2].rstrip(")"): button
        for button in (
            *section.tools.buttons.values(),
            section.tools.range_box,
            section.strokes.repair_button,
            section.strokes.teach_button,
        )
    }
    assert set(shown) <= set(keys)
    assert not segmented.correct.state.brush.is_on
    keys["Y"](segmented.viewer)
    assert segmented.correct.state.brush.is_on
    assert segmented.working.mode == "paint"


def test_a_folder_is_ranked_and_a_double_click_opens_a_scan(segmented, engine, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    grid = Geometry((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    for name in ("plain", "odd"):
        write_image(scans / f"{name}.nrrd", np.zeros(grid.shape, np.float32), grid)
    engine.answers[RankJob] = lambda job: Ranking(
        (
            Ranked(job.folder / "odd.nrrd", 0.4, 0.3, 0.1, 1.0),
            Ranked(job.folder / "plain.nrrd", 0.2, 0.2, 0.0, 0.7),
        ),
        ("broken.nrrd cannot be read.",),
    )
    section = segmented.correct.section
    section.next.folder_chosen.emit(scans)
    shown = section.next.list
    segmented.wait_until(lambda: shown.topLevelItemCount() == 2)
    rows = [[shown.topLevelItem(n).text(c) for c in range(3)] for n in range(2)]
    assert rows == [["odd.nrrd", "0.400", "1.00"], ["plain.nrrd", "0.200", "0.70"]]
    assert "broken.nrrd cannot be read." in segmented.widget.desk.log.text
    shown.itemDoubleClicked.emit(shown.topLevelItem(0), 0)
    assert "odd" in segmented.viewer.layers


def test_teach_here_is_one_undo_step_and_is_kept_or_dropped(segmented, engine):
    layer = segmented.begin()
    before = np.array(layer.data)
    section = segmented.correct.section
    said = segmented.correct.state.statements[0]
    place = tuple(map(int, np.argwhere(layer.data == 0)[0]))

    def taught(job: TeachJob) -> TeachReport:
        job.delta.write_bytes(b"taught")
        change = RepairJob(**{name: getattr(job, name) for name in SHARED}, scheme=SCHEME)
        *_, last = repair_region(change, None)
        return TeachReport(last.value, job.delta, (0.9, 0.4))

    engine.answers[TeachJob] = taught
    section.strokes.statement_chosen.emit(said.value)
    strokes = segmented.viewer.layers["scan · strokes"]
    strokes.data_setitem(tuple(np.array([place]).T), said.value)
    for is_kept in (False, True):
        segmented.wait_until(section.strokes.teach_button.isEnabled)
        section.strokes.teach_button.click()
        segmented.wait_until(lambda: segmented.correct.state.taught is not None)
        assert layer.data[place] == said.organ
        delta = segmented.correct.state.taught
        button = section.strokes.keep_button if is_kept else section.strokes.drop_button
        assert not button.isHidden()
        button.click()
        assert delta.exists() == is_kept
        assert button.isHidden()
        section.undo_button.click()
        assert np.array_equal(layer.data, before)
    assert segmented.widget.teach.state.options.start_from == delta


def test_two_volumes_have_a_correction_each(segmented, make_volume):
    segmented.begin()
    segmented.paint(places_of(segmented, LIVER, 3))
    first = segmented.state.volume
    segmented.add(make_volume(origin=(200.0, 0.0, 0.0)), name="second")
    assert segmented.correct.state.correction is None
    segmented.run_button.click()
    segmented.wait_for(Phase.DONE)
    segmented.correct.section.begin_button.click()
    assert "second · correction" in segmented.viewer.layers
    assert segmented.correct.state.correction.edited_voxels == 0
    segmented.widget.volume.chosen.emit(first)
    assert segmented.correct.state.correction.title == "scan"
    assert segmented.correct.state.correction.edited_voxels == 3


def test_a_label_map_on_another_grid_is_refused(segmented, make_volume):
    other = make_volume(spacing=(2.0, 2.0, 2.0))
    labels = LabelMap(other.geometry, other.source, np.ones(other.geometry.shape, np.uint8), SCHEME)
    data, attributes, _ = label_map_layer(labels, "stray")
    stray = segmented.viewer.add_labels(data, **attributes)
    segmented.widget.review.label_map_chosen.emit(str(stray.unique_id))
    segmented.correct.section.begin_button.click()
    segmented.wait_for(Phase.FAILED)
    assert "does not lie on the grid" in segmented.line()
    assert stray.editable
    assert not any(role_of(layer) for layer in segmented.results)


def test_an_empty_start_and_a_new_organ_become_a_case(
    panel, make_volume, checkpoint_file, tmp_path
):
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    layer = panel.begin()
    assert not layer.data.any()
    panel.correct.section.organ_added.emit("tumour")
    assert layer.selected_label == 3
    panel.paint([(1, 1, 1), (1, 1, 2)], 3)
    assert "tumour 2 voxels" in panel.correct.section.line.text()
    panel.correct.section.set_chosen.emit(tmp_path / "set")
    panel.correct.section.accept_button.click()
    panel.wait_until(lambda: "Accepted as" in panel.line())
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case.scheme.names[3] == "tumour"
    assert case.network_label is None
