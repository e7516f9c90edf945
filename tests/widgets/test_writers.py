"""Saving labels that know their scan, and labels that do not."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_hybridseg.volume import load_label_map
from napari_hybridseg.widgets.layer_geometry import LayerError

from .test_panel import Panel


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine) -> Panel:
    return Panel(make_napari_viewer_proxy(), qtbot)


def test_labels_drawn_in_napari_are_saved_on_the_grid_of_their_volume(panel, make_volume, tmp_path):
    tilt = np.array([[0, 0.6, 0.8], [1, 0, 0], [0, 0.8, -0.6]])
    volume = make_volume(tilt)
    scan = panel.add(volume)
    panel.viewer.layers.selection.active = scan
    panel.viewer._new_labels()
    drawn = panel.viewer.layers[-1]
    drawn.data[scan.data > 0] = 1
    path = tmp_path / "drawn.nii.gz"
    assert drawn.save(str(path), plugin="napari-hybridseg")
    again = load_label_map(path)
    assert again.source.same_grid(volume.source, 1e-4)
    assert np.array_equal(again.array > 0, volume.array[0] > 0)


def test_labels_of_no_open_scan_are_not_saved_upside_down(panel, make_volume, tmp_path):
    path = tmp_path / "drawn.nii.gz"
    drawn = panel.viewer.add_labels(np.ones((4, 5, 6), dtype=np.uint8), units=("mm",) * 3)
    scan = panel.add(make_volume())
    with pytest.raises(LayerError, match="does not know its scan"):
        drawn.save(str(path), plugin="napari-hybridseg")
    assert not path.exists()
    panel.viewer.layers.remove(scan)
    with notification_manager:
        drawn.save(str(path), plugin="napari-hybridseg")
        said = [note.message for note in notification_manager.records]
    assert any("does not say how the patient lies" in message for message in said)
    assert path.exists()


def test_the_result_on_a_bare_volume_can_be_scored_and_saved(panel, checkpoint_file, tmp_path):
    panel.viewer.add_image(np.random.default_rng(0).normal(size=(4, 5, 6)), name="bare")
    panel.viewer.add_labels(np.ones((4, 5, 6), dtype=np.uint8), name="bare_label")
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_until(lambda: panel.state.score is not None)
    assert panel.results[0].save(str(tmp_path / "bare.nii.gz"), plugin="napari-hybridseg")
