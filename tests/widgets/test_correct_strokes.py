"""Strokes that wait for 'Repair' are kept by the autosave and given back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.corrections.recovery import Restored, list_recoverable
from napari_hybridseg.engine.jobs import RepairJob
from napari_hybridseg.widgets.dock import HybridSegWidget
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Phase

from .test_correct import LIVER, SPLEEN, Corrector, places_of

STROKES = "scan · strokes"


class Scribbler(Corrector):
    """Draws strokes, and looks into the journal as after a crash."""

    def draw(self, text: str, places: list[tuple[int, int, int]]) -> Any:
        said = next(s for s in self.correct.state.statements if s.text == text)
        self.correct.section.strokes.statement_chosen.emit(said.value)
        layer = self.viewer.layers[STROKES]
        layer.data_setitem(tuple(np.array(places).T), said.value)
        return layer

    def save(self) -> None:
        self.now.session.autosave.save_now()

    def crashed(self, journals: Path, folder: Path) -> Restored:
        """Give what the next start would find now; the journal itself is held by this panel."""
        shutil.copytree(journals, folder)
        for lock in folder.rglob("*lock*"):
            lock.unlink()
        (left,) = list_recoverable(folder)
        return left.load()


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Scribbler:
    return Scribbler(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def begun(panel, make_volume, checkpoint_file) -> Scribbler:
    panel.add(make_volume())
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    panel.begin()
    panel.save()
    return panel


def restart(panel: Scribbler, qtbot: Any, make_volume: Any, checkpoint_file: Path) -> Scribbler:
    """Close the panel, open another one and restore what it offers."""
    panel.widget._close()
    panel.viewer.layers.clear()
    second = HybridSegWidget(panel.viewer, Settings())
    qtbot.addWidget(second)
    panel.widget, panel.state = second, second.state
    panel.add(make_volume())
    second.checkpoint.chosen.emit(checkpoint_file)
    panel.wait_until(lambda: len(second.correct.state.recoverable) == 1)
    second.correct.section.left.restore_wanted.emit(second.correct.state.recoverable[0])
    panel.wait_until(lambda: "scan · correction" in panel.viewer.layers)
    panel.wait_until(lambda: panel.now.session.autosave is not None)
    return panel


def test_a_stroke_is_in_the_journal_before_anybody_repairs(begun, journals, tmp_path):
    place = places_of(begun, 0, 3)
    begun.draw("is not spleen", place)
    assert not begun.now.session.autosave.is_saved
    begun.save()
    restored = begun.crashed(journals, tmp_path / "copy")
    grid = begun.now.session.origin.grid
    expected = grid.points_to_canonical(np.array(place, float)).round().astype(int)
    found = restored.strokes.strokes
    assert sorted(map(tuple, found.voxels)) == sorted(map(tuple, expected))
    assert found.labels.tolist() == [SPLEEN] * 3
    assert found.is_not.all()
    assert restored.strokes.waiting == 3


def test_strokes_come_back_as_they_were_and_are_repaired_then(
    begun, qtbot, engine, make_volume, checkpoint_file
):
    first, second = places_of(begun, 0, 2)
    begun.draw("is spleen", [first])
    section = begun.correct.section
    begun.wait_until(section.strokes.repair_button.isEnabled)
    section.strokes.repair_button.click()
    begun.wait_until(lambda: begun.working.data[first] == SPLEEN)
    layer = begun.draw("is liver", [second])
    drawn = np.array(layer.data)
    begun.wait_until(lambda: begun.correct.state.correction.fresh_strokes == 1)

    restart(begun, qtbot, make_volume, checkpoint_file)
    assert np.array_equal(begun.viewer.layers[STROKES].data, drawn)
    assert begun.working.data[first] == SPLEEN
    assert begun.viewer.layers.selection.active.name == begun.working.name
    assert "with strokes of 1 voxel that wait for 'Repair'." in begun.line()
    begun.wait_until(lambda: begun.correct.state.correction.fresh_strokes == 1)
    assert begun.correct.state.correction.strokes == 2
    strokes = begun.correct.section.strokes
    assert "2 voxels of strokes, 1 of them new" in strokes.line.text()
    begun.wait_until(strokes.repair_button.isEnabled)
    strokes.repair_button.click()
    begun.wait_until(lambda: begun.working.data[second] == LIVER)
    job = [job for job in engine.jobs if isinstance(job, RepairJob)][-1]
    assert (len(job.strokes), len(job.fresh)) == (2, 1)
    begun.widget._close()


def test_a_restored_stroke_is_safe_before_the_old_journal_goes(
    begun, qtbot, make_volume, checkpoint_file, journals, tmp_path, monkeypatch
):
    begun.draw("is spleen", places_of(begun, 0, 4))
    monkeypatch.setattr("napari_hybridseg.widgets.preferences.Preferences.autosave_seconds", 1000.0)
    restart(begun, qtbot, make_volume, checkpoint_file)
    begun.wait_until(lambda: len(list(journals.iterdir())) == 1)  # the old one is gone
    assert begun.crashed(journals, tmp_path / "copy").strokes.waiting == 4
    begun.widget._close()


def test_strokes_alone_are_worth_keeping(begun, qtbot, make_volume, checkpoint_file):
    begun.draw("is spleen", places_of(begun, 0, 1))
    assert begun.now.session.edited_voxels == 0
    restart(begun, qtbot, make_volume, checkpoint_file)
    assert begun.now.strokes.count == 1
    begun.viewer.layers.clear()
    begun.wait_until(lambda: "was put aside" in begun.widget.desk.log.text)
    begun.wait_until(lambda: len(begun.correct.state.recoverable) == 1)
    assert begun.correct.state.recoverable[0].load().strokes.waiting == 1
    begun.widget._close()


def test_strokes_that_were_cleared_or_removed_do_not_come_back(begun, journals, tmp_path):
    layer = begun.draw("is spleen", places_of(begun, 0, 2))
    begun.save()
    layer.undo()  # before anybody counted them
    begun.wait_until(lambda: not begun.now.session.autosave.is_saved)
    begun.save()
    assert begun.crashed(journals, tmp_path / "undone").strokes.waiting == 0
    layer.redo()
    begun.wait_until(lambda: begun.now.strokes.count == 2)
    begun.save()
    assert begun.crashed(journals, tmp_path / "redone").strokes.waiting == 2
    begun.draw("is liver", places_of(begun, 0, 3)[2:])
    begun.save()
    layer.undo()
    begun.wait_until(lambda: not begun.now.session.autosave.is_saved)
    begun.save()
    assert begun.crashed(journals, tmp_path / "undone again").strokes.waiting == 2
    begun.correct.section.strokes.clear_button.click()
    begun.save()
    assert begun.crashed(journals, tmp_path / "cleared").strokes.waiting == 0
    begun.draw("is spleen", places_of(begun, 0, 1))
    begun.wait_until(lambda: begun.now.strokes.count == 1)
    begun.viewer.layers.remove(STROKES)
    begun.wait_until(lambda: begun.now.strokes.count == 0)
    begun.save()
    assert begun.crashed(journals, tmp_path / "removed").strokes.waiting == 0


def test_strokes_about_a_new_organ_come_back(begun, qtbot, make_volume, checkpoint_file):
    begun.correct.section.organ_added.emit("tumour")
    begun.wait_until(lambda: any(s.text == "is tumour" for s in begun.now.strokes.statements))
    begun.draw("is tumour", places_of(begun, 0, 1))
    begun.draw("is background", places_of(begun, LIVER, 1))
    restart(begun, qtbot, make_volume, checkpoint_file)
    strokes, _ = begun.now.strokes.strokes()
    assert sorted(strokes.labels.tolist()) == [0, 3]
    assert not strokes.is_not.any()
    begun.widget._close()
