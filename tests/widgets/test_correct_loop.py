"""The whole loop with the engine's own process: segment, paint, accept, fine-tune, use, segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.corrections.verifying import verify_set
from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.widgets.sample_data import torso_b
from napari_hybridseg.widgets.state import Phase

from .test_panel import Panel

_LONG_MS = 1_800_000  # on a machine that is busy with other things
LIVER = 1


@pytest.mark.slow
def test_the_loop_on_the_torso(make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_hybridseg.widgets.teach_controller.user_checkpoints_folder",
        lambda: tmp_path / "checkpoints",
    )
    panel = Panel(make_napari_viewer_proxy(), qtbot)
    widget, viewer = panel.widget, panel.viewer
    for data, attributes, kind in torso_b():
        (viewer.add_image if kind == "image" else viewer.add_labels)(data, **attributes)
    parent = shipped_checkpoints_folder() / "torso-utnetv2-3d.safetensors"
    before = parent.read_bytes()
    widget.checkpoint.chosen.emit(parent)

    def finish(phase: Phase = Phase.DONE) -> None:
        qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=_LONG_MS)
        assert panel.state.phase is phase, widget.controller.report()

    def segment() -> None:
        panel.run_button.click()
        finish()
        qtbot.waitUntil(lambda: panel.state.score is not None, timeout=_LONG_MS)
        finish()

    segment()
    widget.correct.section.begin_button.click()
    working = viewer.layers["torso_b · correction"]
    finish()
    truth = np.asarray(viewer.layers["torso_b_reference"].data)
    wrong = np.nonzero((working.data != truth) & ((truth == LIVER) | (working.data == LIVER)))
    working.data_setitem(wrong, np.where(truth[wrong] == LIVER, LIVER, 0))
    widget.correct.section.set_chosen.emit(tmp_path / "set")
    qtbot.waitUntil(widget.correct.section.accept_button.isEnabled, timeout=_LONG_MS)
    widget.correct.section.accept_button.click()
    qtbot.waitUntil(lambda: widget.correct.state.correction is None, timeout=_LONG_MS)
    *_, last = verify_set(tmp_path / "set")
    assert last.value.problems == ()
    assert len(widget.teach.state.corrections.cases) == 1
    qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=_LONG_MS)

    options = FineTuneOptions(strategy="norms", steps=4, check_every=2, batch_size=1, folds=0)
    widget.teach.section.options_chosen.emit(options)
    widget.teach.section.button.click()
    finish()
    report = widget.teach.state.report
    assert report.steps == 4
    assert "loss" in widget.teach.state.curves
    assert Path(report.path).parent == tmp_path / "checkpoints"
    child = load_checkpoint(report.path)
    assert child.card.provenance.parent_sha256 == load_checkpoint(parent).sha256
    assert parent.read_bytes() == before
    widget.teach.section.use_button.click()
    assert panel.state.checkpoint.path.resolve() == Path(report.path).resolve()
    segment()
    assert f"torso_b · {child.card.name}" in viewer.layers
