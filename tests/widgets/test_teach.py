"""Fine-tuning in the panel, with an engine that obeys the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_hybridseg.corrections import SetManifest
from napari_hybridseg.corrections.manifest import ListedCase, manifest_bytes
from napari_hybridseg.engine.jobs import FineTuneJob, SegmentJob
from napari_hybridseg.events import Metric
from napari_hybridseg.finetune import CaseChange, FineTuneReport, OrganChange, ScoreTable
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.state import Phase

from .conftest import SCHEME
from .test_panel import Panel


def table(measured: str, before: float, after: float) -> ScoreTable:
    organ = OrganChange(
        label=1,
        name="liver",
        dice_before=before,
        dice_after=after,
        hd95_before_mm=9.0,
        hd95_after_mm=4.0,
    )
    case = CaseChange(name="case-0001", dice_before=before, dice_after=after)
    return ScoreTable(measured=measured, data="of a test", organs=(organ,), cases=(case,))


@pytest.fixture
def child(checkpoint_file, card, tmp_path) -> Path:
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint

    path = tmp_path / "test-unet-tuned.safetensors"
    update = {"name": "test-unet-tuned"}
    save_checkpoint(path, {"weight": torch.ones(3)}, card.model_copy(update=update))
    return path


@pytest.fixture
def panel(
    make_napari_viewer_proxy, qtbot, engine, tmp_path, checkpoint_file, child, monkeypatch
) -> Panel:
    monkeypatch.setattr(
        "napari_hybridseg.widgets.teach_controller.user_checkpoints_folder",
        lambda: tmp_path / "new user" / "checkpoints",
    )
    panel = Panel(make_napari_viewer_proxy(), qtbot)
    folder = tmp_path / "set"
    folder.mkdir()
    line = ListedCase(name="case-0001", folder="case-0001", manifest_sha256="0" * 64)
    (folder / "corrections.json").write_bytes(manifest_bytes(SetManifest(cases=(line,))))
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.widget.teach.section.set_chosen.emit(folder)
    engine.notes = (Metric("loss", 0.9, 25), Metric("Dice", 0.4, 25), Metric("loss", 0.5, 50))
    engine.answers[FineTuneJob] = lambda job: FineTuneReport(
        path=child,
        sha256="1",
        name="test-unet-tuned",
        parent=checkpoint_file,
        parent_sha256="0",
        strategy="norms",
        steps=50,
        minutes=1.5,
        ending="all steps",
        cases=table("training cases", 0.5, 0.8),
        guard=table("guard", 0.9, 0.7),
        recommended=False,
        verdict="It is better on the corrections, but 0.200 worse on the guard set.",
        left_out=("case-0002 holds no numbers.",),
    )
    return panel


def tune(panel: Panel) -> Any:
    section = panel.widget.teach.section
    section.button.click()
    panel.wait_for(Phase.DONE)
    return section


def test_an_empty_set_says_what_is_missing(panel, tmp_path):
    section = panel.widget.teach.section
    assert section.set_line.text() == "set: 1 case"
    assert section.button.isEnabled()
    section.set_chosen.emit(tmp_path / "another")
    assert not section.button.isEnabled()
    assert "accept a case first" in section.button.toolTip()


def test_progress_is_plotted_and_the_change_is_shown(panel, engine, tmp_path):
    section = panel.widget.teach.section
    section.strategy.chosen.emit("decoder")
    section.minutes.setValue(3)
    engine.gate.clear()
    section.button.click()
    panel.wait_until(lambda: "loss 0.500" in section.plot.line.text())
    assert section.button.text() == "Cancel"
    assert section.plot.isVisibleTo(section)
    loss = panel.widget.teach.state.curves["loss"]
    assert [(point.step, point.value) for point in loss] == [(25, 0.9), (50, 0.5)]
    engine.gate.set()
    panel.wait_for(Phase.DONE)
    job = next(job for job in engine.jobs if isinstance(job, FineTuneJob))
    assert (job.options.strategy, job.options.minutes) == ("decoder", 3)
    assert job.source == tmp_path / "set"
    assert job.out.parent.is_dir()  # a new user has no such folder
    texts = [section.table.item(row, 0).text() for row in range(section.table.rowCount())]
    assert texts == [
        "Measured on the training cases (1 case) · HD95: monai",
        "liver",
        "mean",
        "Guard set (1 case) · HD95: monai",
        "liver",
        "mean",
    ]
    assert section.table.item(1, 1).text() == "0.500"
    assert section.table.item(1, 2).text() == "0.800"
    assert "worse on the guard set" in section.verdict.text()
    assert "case-0002" in panel.widget.desk.log.text


def test_what_teach_here_learnt_and_was_kept_begins_the_next_fine_tune_only(
    panel, engine, tmp_path
):
    section = panel.widget.teach.section
    kept = tmp_path / "test-unet-taught.safetensors"
    kept.touch()
    for wish in ("keep", "clear", "keep"):
        panel.widget.correct.state.taught = kept if wish == "keep" else None
        if wish == "keep":
            panel.widget.correct.section.strokes.keep_button.click()
            assert section.start_line.text() == kept.name
            assert section.start_clear.isVisibleTo(section)
        else:
            section.start_clear.click()
            assert section.start_line.text() == "the checkpoint alone"
    tune(panel)
    tune(panel)
    starts = [job.options.start_from for job in engine.jobs if isinstance(job, FineTuneJob)]
    assert starts == [kept, None]
    assert kept.exists()


def test_a_worse_checkpoint_is_not_taken_but_may_be_used_and_rolled_back(
    panel, child, checkpoint_file
):
    section = tune(panel)
    assert panel.state.checkpoint.path == checkpoint_file
    assert section.use_button.text() == "Use it anyway"
    assert not section.back_button.isEnabled()
    section.use_button.click()
    assert panel.state.checkpoint.path.resolve() == child.resolve()
    assert not section.use_button.isEnabled()
    section.back_button.click()
    assert panel.state.checkpoint.path.resolve() == checkpoint_file.resolve()


def test_parent_and_child_are_compared_on_the_volume(panel, engine, make_volume, child):
    section = tune(panel)
    assert not section.compare_button.isEnabled()
    panel.add(make_volume())
    section.compare_button.click()
    panel.wait_until(lambda: len([j for j in engine.jobs if isinstance(j, SegmentJob)]) == 2)
    panel.wait_until(lambda: len(panel.results) == 2)
    names = [layer.name for layer in panel.results]
    assert names == ["scan · test-unet", "scan · test-unet-tuned"]
    panel.wait_until(lambda: not panel.state.phase.is_busy)
    assert panel.state.rival == str(panel.viewer.layers[names[0]].unique_id)
    assert panel.state.label_map == str(panel.viewer.layers[names[1]].unique_id)


def test_both_checkpoints_have_an_overlay_and_a_column_of_scores(
    panel, engine, make_volume, checkpoint_file, child
):
    section = tune(panel)
    volume = panel.add(make_volume())
    truth = (np.asarray(volume.data) > 0).astype(np.uint8)
    panel.viewer.add_labels(
        truth, name="truth", scale=volume.scale, translate=volume.translate, units=volume.units
    )
    panel.widget.review.reference_chosen.emit(str(panel.viewer.layers["truth"].unique_id))

    def segmented(job: SegmentJob) -> LabelMap:
        """Let the parent miss a row of what the child finds."""
        labels = (job.volume.array[0] > 0).astype(np.uint8)
        labels[:, : 2 if job.checkpoint == checkpoint_file else 1] = 0
        return LabelMap(job.volume.geometry, job.volume.source, labels, SCHEME)

    engine.answers[SegmentJob] = segmented
    section.compare_button.click()
    panel.wait_until(lambda: panel.state.score is not None and panel.state.score.rival is not None)
    panel.wait_until(lambda: not panel.state.phase.is_busy)
    parents, childs = panel.results
    assert [parents.name, childs.name] == ["scan · test-unet", "scan · test-unet-tuned"]
    for overlay in (parents, childs):
        assert overlay.visible
        assert (overlay.data == 1).any()
        assert np.array_equal(overlay.scale, volume.scale)
        assert np.array_equal(overlay.translate, volume.translate)
    assert not np.array_equal(parents.data, childs.data)

    def dice(labels: Any) -> float:
        found = np.asarray(labels) == 1
        return 2 * (found & (truth == 1)).sum() / (found.sum() + truth.sum())

    review = panel.widget.review
    titles, *rows = review.table.scores.texts()
    columns = [titles.index(name) for name in ("Dice", "other Dice")]
    hd95s = [titles.index(name) for name in ("HD95 mm (monai)", "other HD95 mm (monai)")]
    liver = next(row for row in rows if row[0] == "liver")
    assert [liver[n] for n in columns] == [f"{dice(m.data):.3f}" for m in (childs, parents)]
    assert float(liver[columns[0]]) > float(liver[columns[1]])
    assert float(liver[hd95s[0]]) < float(liver[hd95s[1]])
    assert all(float(rows[-1][n]) > 0 for n in columns)  # the mean has both, too
    model = review.table.model()
    assert [model.headerData(n, Qt.Orientation.Horizontal) for n in columns] == [
        "Dice",
        "other\nDice",
    ]
    assert review.table.isVisibleTo(panel.widget)
    assert "'other' is scan · test-unet." in review.notes.text()
    assert panel.state.checkpoint.path.resolve() == child.resolve()


def test_a_fine_tune_waits_goes_on_and_ends_early(panel, engine):
    section = panel.widget.teach.section
    engine.gate.clear()
    section.button.click()
    panel.wait_until(lambda: section.pause_button.isVisibleTo(section))
    section.pause_button.click()
    assert section.pause_button.text() == "Go on"
    section.pause_button.click()
    assert section.pause_button.text() == "Pause"
    section.finish_button.click()
    panel.wait_for(Phase.DONE)
    assert engine.wishes == ["pause", "go on", "finish"]
    assert not section.finish_button.isVisibleTo(section)
    assert section.table.rowCount()


def test_a_cancelled_fine_tune_leaves_nothing(panel, engine):
    section = panel.widget.teach.section
    engine.gate.clear()
    section.button.click()
    panel.wait_until(lambda: bool(engine.jobs))
    section.button.click()
    panel.wait_for(Phase.IDLE)
    assert panel.widget.teach.state.report is None
    assert not section.table.isVisibleTo(section)


def test_old_cases_and_guard_set_are_folders_and_can_be_taken_back(panel, tmp_path, monkeypatch):
    section = panel.widget.teach.section
    state = panel.widget.teach.state
    monkeypatch.setattr(
        "napari_hybridseg.widgets.teach_section.QFileDialog.getExistingDirectory",
        lambda *_: str(tmp_path),
    )
    for button, clear, field in (
        (section.rehearse_button, section.rehearse_clear, "rehearse"),
        (section.guard_button, section.guard_clear, "guard"),
    ):
        assert not clear.isVisibleTo(section.more.body.parentWidget())
        button.click()
        assert getattr(state.options, field) == tmp_path
        assert not clear.isHidden()
        clear.click()
        assert getattr(state.options, field) is None
        assert clear.isHidden()
