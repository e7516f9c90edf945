"""The panel with the engine's own process, and what opening it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_hybridseg.widgets.layer_data import volume_layers
from napari_hybridseg.widgets.state import Phase

_OPEN_PANEL = """
import sys
import napari
viewer = napari.Viewer(show=False)
_, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
panel.controller.close()
assert "torch" not in sys.modules, "opening the panel imports torch"
assert "monai" not in sys.modules, "opening the panel imports monai"
viewer.close()
"""


@pytest.fixture
def real_checkpoint(card, tmp_path):
    """Give a small network with random weights."""
    from napari_hybridseg.checkpoint import save_checkpoint
    from napari_hybridseg.networks import create_network

    config = {"channels": (4, 8), "strides": (2,)}
    network = create_network("unet", 1, card.num_classes, **config)
    path = tmp_path / "random-unet.safetensors"
    update = {"name": "random-unet", "config": config}
    save_checkpoint(path, network.state_dict(), card.model_copy(update=update))
    return path


def test_opening_the_panel_imports_no_torch(make_napari_viewer_proxy):
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_PANEL],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_real_network_segments_and_a_killed_engine_is_survived(
    make_napari_viewer_proxy, qtbot, make_volume, real_checkpoint
):
    viewer = make_napari_viewer_proxy()
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    data, attributes, _ = volume_layers(make_volume())[0]
    viewer.add_image(data, **attributes)
    panel.checkpoint.chosen.emit(real_checkpoint)

    def segment(ends_in: Phase) -> None:
        panel.segment.button.click()
        qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=60_000)
        assert panel.state.phase is ends_in, panel.controller.report()

    segment(Phase.DONE)
    result = viewer.layers["scan · random-unet"]
    assert result.data.shape == data.shape
    assert np.array_equal(result.scale, viewer.layers["scan"].scale)
    first = result.data.copy()

    qtbot.wait(1000)  # the panel has two windows timed beside its jobs, which must not be killed
    qtbot.waitUntil(lambda: not panel.desk._asides, timeout=60_000)
    pid = panel._runner._engine.pid
    os.kill(pid, signal.SIGSTOP)  # so that it is surely in the middle of its job
    QTimer.singleShot(300, lambda: os.kill(pid, signal.SIGKILL))
    segment(Phase.FAILED)
    assert "engine was killed" in panel.status.line.text()
    segment(Phase.DONE)
    assert np.array_equal(viewer.layers["scan · random-unet"].data, first)
