"""A photograph that napari opened by itself, through the panel and the engine's own process."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import photograph_checkpoint

from napari_hybridseg.widgets.state import Phase


def test_a_photograph_is_segmented_where_it_lies(make_napari_viewer_proxy, qtbot, tmp_path):
    viewer = make_napari_viewer_proxy()
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    colours = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    photograph = viewer.add_image(colours, rgb=True, name="polyp", scale=(2, 2), translate=(5, 7))
    panel.checkpoint.chosen.emit(photograph_checkpoint(tmp_path, "random-transfuse"))
    panel.segment.button.click()
    qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=60_000)
    assert panel.state.phase is Phase.DONE, panel.controller.report()

    result = viewer.layers["polyp · random-transfuse"]
    assert result.data.shape == (1, 45, 61)
    assert result.data.any()
    for place in ((0, 0), (44, 60)):
        assert result.data_to_world((0, *place))[1:] == pytest.approx(
            photograph.data_to_world(place)
        )


def test_a_network_for_scans_says_that_it_takes_no_colours(
    make_napari_viewer_proxy, qtbot, engine, checkpoint_file
):
    viewer = make_napari_viewer_proxy()
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    viewer.add_image(np.zeros((45, 61, 3), dtype=np.uint8), rgb=True, name="polyp")
    panel.checkpoint.chosen.emit(checkpoint_file)
    assert not panel.segment.button.isEnabled()
    assert "needs 1 channel; the volume has 3" in panel.segment.button.toolTip()
