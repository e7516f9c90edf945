"""The whole loop with the engine's own process: segment, paint, accept, fine-tune, use, segment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.checkpoint import load_checkpoint, save_checkpoint
from napari_hybridseg.corrections.verifying import verify_set
from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import LabelMap, Volume
from napari_hybridseg.widgets.layer_data import label_map_layer, volume_layers
from napari_hybridseg.widgets.sample_data import torso_b
from napari_hybridseg.widgets.state import Phase

from .conftest import SCHEME
from .test_panel import Panel

_LONG_MS = 1_800_000  # on a machine that is busy with other things
LIVER = 1


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch) -> Panel:
    monkeypatch.setattr(
        "napari_hybridseg.widgets.teach_controller.user_checkpoints_folder",
        lambda: tmp_path / "checkpoints",
    )
    return Panel(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def small_parent(card, tmp_path) -> Path:
    """Give a network so small that it does not matter how long it takes; it knows nothing."""
    import torch

    from napari_hybridseg.networks import create_network

    torch.manual_seed(0)
    config = {"channels": (4, 8), "strides": (2,)}
    network = create_network("unet", 1, card.num_classes, **config)
    path = tmp_path / "random-unet.safetensors"
    update = {"name": "random-unet", "config": config}
    save_checkpoint(path, network.state_dict(), card.model_copy(update=update))
    return path


def add_blocks(viewer: Any) -> None:
    """Add a scan with a bright block, and its reference."""
    grid = Geometry((12, 12, 10), (1.0, 1.5, 2.0), (-5.0, 3.0, 9.0), tuple(np.eye(3).ravel()))
    truth = np.zeros(grid.shape, np.uint8)
    truth[2:8, 3:9, 3:10] = LIVER
    image = truth * 50.0 + np.random.default_rng(0).normal(0, 5, truth.shape)
    stored = StoredImage(image.astype(np.float32)[None], grid, modality="CT")
    volume = Volume.from_stored(stored, "scan")
    data, attributes, _ = volume_layers(volume)[0]
    viewer.add_image(data, **(attributes | {"name": "scan"}))
    labels = LabelMap(volume.geometry, volume.source, truth, SCHEME)
    data, attributes, _ = label_map_layer(labels, "scan_reference")
    viewer.add_labels(data, **attributes)


def go_round(panel: Panel, qtbot: Any, name: str, parent: Path, folder: Path, steps: int) -> None:
    """Segment, correct the liver, accept, fine-tune, take the child and segment with it."""
    widget, viewer = panel.widget, panel.viewer
    before = parent.read_bytes()
    widget.checkpoint.chosen.emit(parent)

    def wait(is_so: Any) -> None:
        qtbot.waitUntil(is_so, timeout=_LONG_MS)

    def finish() -> None:
        wait(lambda: not panel.state.phase.is_busy)
        assert panel.state.phase is Phase.DONE, widget.controller.report()

    def segment() -> None:
        panel.run_button.click()
        finish()
        wait(lambda: panel.state.score is not None)
        finish()

    segment()
    widget.correct.section.begin_button.click()
    working = viewer.layers[f"{name} · correction"]
    finish()
    truth = np.asarray(viewer.layers[f"{name}_reference"].data)
    wrong = np.nonzero((working.data != truth) & ((truth == LIVER) | (working.data == LIVER)))
    working.data_setitem(wrong, np.where(truth[wrong] == LIVER, LIVER, 0))
    widget.correct.section.set_chosen.emit(folder / "set")
    wait(widget.correct.section.accept_button.isEnabled)
    widget.correct.section.accept_button.click()
    wait(lambda: widget.correct.state.correction is None)
    *_, last = verify_set(folder / "set")
    assert last.value.problems == ()
    assert len(widget.teach.state.corrections.cases) == 1
    wait(lambda: not panel.state.phase.is_busy)

    options = FineTuneOptions(
        strategy="norms", steps=steps, check_every=2, batch_size=1, folds=0, accelerator="cpu"
    )
    widget.teach.section.options_chosen.emit(options)
    widget.teach.section.button.click()
    finish()
    report = widget.teach.state.report
    assert report.steps == steps
    assert "loss" in widget.teach.state.curves
    assert Path(report.path).parent == folder / "checkpoints"
    child = load_checkpoint(report.path)
    assert child.card.provenance.parent_sha256 == load_checkpoint(parent).sha256
    assert parent.read_bytes() == before
    widget.teach.section.use_button.click()
    assert panel.state.checkpoint.path.resolve() == Path(report.path).resolve()
    segment()
    assert f"{name} · {child.card.name}" in viewer.layers


def test_the_loop_on_blocks(panel, qtbot, tmp_path, small_parent):
    add_blocks(panel.viewer)
    go_round(panel, qtbot, "scan", small_parent, tmp_path, steps=4)


@pytest.mark.slow
def test_the_loop_on_the_torso(panel, qtbot, tmp_path):
    for data, attributes, kind in torso_b():
        (panel.viewer.add_image if kind == "image" else panel.viewer.add_labels)(data, **attributes)
    parent = shipped_checkpoints_folder() / "torso-utnetv2-3d.safetensors"
    go_round(panel, qtbot, "torso_b", parent, tmp_path, steps=2)
