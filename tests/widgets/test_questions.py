"""What is asked when a file is opened, answered as a user does: by pressing a button."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from helpers import grid
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_hybridseg.formats import ChannelAxis, IrregularGridError, read_image, write_image
from napari_hybridseg.volume import Volume, VolumeError, load_label_map
from napari_hybridseg.widgets import questions
from napari_hybridseg.widgets.layer_data import volume_layers, volume_of_layer
from napari_hybridseg.widgets.open_as_labels import open_as_labels
from napari_hybridseg.widgets.time_series import shown_time_point

PLUGIN = "napari-hybridseg"
Answer = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def plugins_known() -> None:
    npe2.PluginManager.instance().discover()


@pytest.fixture
def answer(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Give what presses the named button of the next question, and keeps what it said."""
    monkeypatch.setattr("napari_hybridseg.widgets.readers.can_ask", lambda: True)
    monkeypatch.setattr(questions, "can_ask", lambda: True)
    said: list[str] = []

    def press(name: str) -> list[str]:
        def look() -> None:
            box = QApplication.activeModalWidget()
            if not isinstance(box, QMessageBox):
                QTimer.singleShot(20, look)
                return
            said.append(box.text())
            next(b for b in box.buttons() if b.text().replace("&", "") == name).click()

        QTimer.singleShot(0, look)
        return said

    return press


@pytest.fixture
def sheared(tmp_path: Path) -> Path:
    """Give a label map whose slices are shifted against each other, as by a tilted gantry."""
    nibabel = pytest.importorskip("nibabel")
    array = np.zeros((20, 20, 8), np.uint8)
    array[8:12, 8:12, 2:6] = 3
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 0.7
    path = tmp_path / "tilted.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def opened(path: Path) -> list[Any]:
    layers = npe2.read([str(path)], stack=False, plugin_name=PLUGIN)
    return [] if layers[0][0] is None else layers


def test_a_sheared_file_opens_resampled_if_the_user_wants_it(
    make_napari_viewer_proxy, sheared, answer
):
    said = answer("Resample to a regular grid")
    ((data, attributes, kind),) = opened(sheared)
    assert "is sheared" in said[0]
    assert "--resample" not in said[0]  # the button does it
    assert kind == "image"
    np.testing.assert_array_equal(
        data[::-1], Volume.from_stored(read_image(sheared, sheared="resample")).array[0]
    )
    assert any("resampled" in note for note in attributes["metadata"]["hybridseg"]["notes"])


def test_labels_take_the_nearest_voxel(make_napari_viewer_proxy, sheared, answer):
    path = sheared.with_name("tilted_seg.nii.gz")
    sheared.rename(path)
    answer("Resample to a regular grid")
    ((data, _, kind),) = opened(path)
    assert kind == "labels"
    assert set(np.unique(data)) == {0, 3}


def test_cancelling_opens_nothing_and_nobody_to_ask_is_a_refusal(
    make_napari_viewer_proxy, sheared, answer, monkeypatch
):
    answer("Cancel")
    assert opened(sheared) == []
    monkeypatch.setattr(questions, "can_ask", lambda: False)
    with pytest.raises(IrregularGridError, match="sheared"):
        opened(sheared)


@pytest.mark.parametrize(
    ("heights", "sideways", "reason", "slices"),
    [
        ((0, 2, 6, 8), 0.0, r"not evenly spaced.*30\.0, 32\.0, 36\.0, 38\.0", 5),
        (None, 0.8, "tilted gantry", 4),
    ],
)
def test_an_irregular_series_shows_its_positions_and_is_resampled(
    make_napari_viewer_proxy, tmp_path, answer, heights, sideways, reason, slices
):
    pytest.importorskip("highdicom")
    from formats.dicom_samples import save_series, voxels

    save_series(tmp_path / "scan", voxels((4, 16, 16)), heights=heights, sideways=sideways)
    said = answer("Resample to a regular grid")
    ((data, attributes, _),) = opened(tmp_path / "scan")
    assert re.search(reason, said[0])
    assert len(data) == slices
    assert attributes["metadata"]["hybridseg"]["dicom_series"]["uid"]


def test_open_as_labels_asks_too(make_napari_viewer_proxy, sheared, answer, monkeypatch):
    viewer = make_napari_viewer_proxy()
    monkeypatch.setattr(
        "napari_hybridseg.widgets.open_as_labels.QFileDialog.getOpenFileNames",
        lambda *_: ([str(sheared)], ""),
    )
    answer("Cancel")
    open_as_labels(viewer)
    assert len(viewer.layers) == 0
    answer("Resample to a regular grid")
    open_as_labels(viewer)
    assert [layer._type_string for layer in viewer.layers] == ["labels"]
    assert set(np.unique(viewer.layers[0].data)) == {0, 3}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    array = np.arange(4 * 3 * 5 * 6, dtype=np.int16).reshape(4, 3, 5, 6)
    write_image(tmp_path / "four.nii.gz", array, grid((3, 5, 6)))
    return tmp_path / "four.nii.gz"


@pytest.mark.parametrize(
    ("pressed", "shapes"),
    [("Time points", [(4, 3, 5, 6)]), ("Channels", [(3, 5, 6)] * 4), ("Cancel", [])],
)
def test_what_the_volumes_of_a_4d_file_are_is_asked(
    make_napari_viewer_proxy, four, answer, pressed, shapes
):
    said = answer(pressed)
    layers = opened(four)
    assert [data.shape for data, _, _ in layers] == shapes
    assert "holds 4 volumes" in said[0]
    assert not any(attributes["metadata"]["hybridseg"]["notes"] for _, attributes, _ in layers)


def test_the_time_point_that_is_shown_is_the_one_that_is_segmented(make_napari_viewer_proxy, four):

    volume = Volume.from_stored(read_image(four))
    volume = dataclasses.replace(volume, channel_axis=ChannelAxis("time", 2.5))
    ((data, attributes, _),) = volume_layers(volume)
    viewer = make_napari_viewer_proxy()
    layer = viewer.add_image(data, **attributes)
    for point in (0, 3, 1):
        viewer.dims.set_current_step(0, point)
        assert shown_time_point(layer) == point
        taken = volume_of_layer(layer)
        np.testing.assert_array_equal(taken.array, volume.array[point : point + 1])
        assert taken.source == volume.source
        assert "Of its 4 time points" in taken.notes[-1]


def test_colours_add_up_in_layers_of_their_colour(four):

    volume = Volume.from_stored(read_image(four))
    volume = dataclasses.replace(volume, channel_axis=ChannelAxis("colours"))
    looks = [attributes for _, attributes, _ in volume_layers(volume)]
    assert [look["colormap"] for look in looks] == ["red", "green", "blue", "gray"]
    assert [look.get("visible", True) for look in looks] == [True, True, True, False]


def test_several_volumes_are_no_label_map(four):
    with pytest.raises(VolumeError, match="4 channels"):
        load_label_map(four)
