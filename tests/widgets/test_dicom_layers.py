"""DICOM through napari: folders and files in, the series chosen, segmentations out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

from formats.dicom_samples import PATIENT, save_series, voxels
from napari.errors import MultipleReaderError
from napari.settings import get_settings

from napari_hybridseg.formats import FormatError
from napari_hybridseg.formats.dicom import read_segmentation, read_series
from napari_hybridseg.labels import LabelScheme, Organ
from napari_hybridseg.volume import LabelMap, Volume, load_label_map
from napari_hybridseg.widgets import dicom_series, readers
from napari_hybridseg.widgets.layer_data import label_map_layer
from napari_hybridseg.widgets.layer_geometry import LayerError
from napari_hybridseg.widgets.readers import read_files

from .test_panel import Panel

PLUGIN = "napari-hybridseg"
SCHEME = LabelScheme(
    organs=(
        Organ(id=1, name="liver", colour="#dd8265", snomed="10200004"),
        Organ(id=4, name="Niere · links", colour="#00ff00"),
    )
)


@pytest.fixture(autouse=True)
def plugins_known() -> None:
    npe2.PluginManager.instance().discover()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    save_series(tmp_path / "scan", voxels((5, 6, 8)))
    return tmp_path / "scan"


@pytest.fixture
def two_series(scan: Path) -> Path:
    small = voxels((2, 6, 8), seed=1)
    save_series(scan / "localiser", small, series="1.2.3.4.2", description="Localiser")
    return scan


def opened(path: Path) -> list[Any]:
    return npe2.read([str(path)], stack=False, plugin_name=PLUGIN)


def drawn_on(layer: Any, **about: Any) -> tuple[np.ndarray, dict[str, Any], str]:
    """Give a Labels layer as a run on this layer leaves it."""
    data, attributes, _ = layer
    labels = np.where(data > 1500, 4, (data > 900).astype(np.uint8)).astype(np.uint8)
    known = attributes["metadata"]["hybridseg"]
    about = {"scheme": SCHEME.model_dump(mode="json"), **about}
    return (
        labels,
        {
            "name": "drawn · here",
            "metadata": {"hybridseg": json.loads(json.dumps(known | about))},
            **{key: attributes[key] for key in ("scale", "translate", "units", "axis_labels")},
        },
        "labels",
    )


def test_a_folder_and_any_file_of_it_open_the_series(scan):
    for path in (scan, scan / "003.dcm"):
        ((data, attributes, kind),) = opened(path)
        assert (attributes["name"], kind) == ("Thorax 5.0", "image")
        volume = Volume.from_stored(read_series(scan))
        np.testing.assert_array_equal(data[::-1], volume.array[0])
        assert PATIENT not in json.dumps(attributes["metadata"])


def test_slices_that_are_opened_together_are_one_volume(scan):
    assert len(read_files([str(path) for path in sorted(scan.iterdir())])) == 1


def test_other_folders_are_left_to_others(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    assert readers.get_reader(str(tmp_path)) is None


def test_without_a_window_several_series_are_listed_in_the_refusal(two_series, monkeypatch):
    monkeypatch.setattr(readers, "can_ask", lambda: False)
    with pytest.raises(FormatError, match=r"'Thorax 5\.0' .*'Localiser'"):
        opened(two_series)


def test_the_user_chooses_among_several_series_and_the_largest_is_offered(two_series, monkeypatch):
    asked: dict[str, Any] = {}

    def choose(parent, title, label, items, current, editable):
        asked.update(items=items, offered=items[current])
        return next(item for item in items if "Localiser" in item), True

    monkeypatch.setattr(readers, "can_ask", lambda: True)
    monkeypatch.setattr(dicom_series, "window_to_ask_in", lambda: None)
    monkeypatch.setattr(dicom_series.QInputDialog, "getItem", choose)
    ((data, attributes, _),) = opened(two_series)
    assert (len(asked["items"]), "Thorax" in asked["offered"]) == (2, True)
    assert (attributes["name"], data.shape) == ("Localiser", (2, 6, 8))
    monkeypatch.setattr(dicom_series.QInputDialog, "getItem", lambda *_: ("", False))
    assert read_files(str(two_series)) == [(None,)]


@pytest.mark.parametrize("about", [{}, {"checkpoint": "torso", "voxels_crc32": 1}])
def test_labels_are_saved_as_a_segmentation_of_their_series(two_series, tmp_path, about):
    layer = opened(two_series / "003.dcm")[0]
    labels = drawn_on(layer, **about)
    path = str(tmp_path / "labels.dcm")
    assert npe2.write(path, [labels], plugin_name=PLUGIN) == [path]
    image = read_segmentation(path)
    assert image.geometry.same_grid(read_series(two_series / "003.dcm").geometry)
    assert image.scheme.names == SCHEME.names
    ((data, attributes, kind),) = opened(Path(path))
    assert kind == "labels"
    np.testing.assert_array_equal(data, labels[0])
    np.testing.assert_allclose(attributes["translate"], labels[1]["translate"])
    assert _kind_of(path) == ("SEMIAUTOMATIC" if about else "MANUAL")


def test_an_untouched_result_is_called_automatic(scan, tmp_path):
    from napari_hybridseg.widgets.layer_data import voxels_crc32

    layer = opened(scan)[0]
    checksum = voxels_crc32(drawn_on(layer)[0])
    labels = drawn_on(layer, checkpoint="torso", voxels_crc32=checksum)
    npe2.write(str(tmp_path / "labels.dcm"), [labels], plugin_name=PLUGIN)
    assert _kind_of(tmp_path / "labels.dcm") == "AUTOMATIC"


def test_a_result_in_the_viewer_is_saved_as_a_segmentation(
    make_napari_viewer_proxy, qtbot, engine, checkpoint_file, scan, tmp_path
):
    panel = Panel(make_napari_viewer_proxy(), qtbot)
    panel.viewer.open(str(scan), plugin=PLUGIN)
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_until(lambda: bool(panel.results))
    (result,) = panel.results
    assert result.save(str(tmp_path / "result.dcm"), plugin=PLUGIN)
    image = read_segmentation(tmp_path / "result.dcm")
    np.testing.assert_array_equal(image.array[0], read_series(scan).array[0] > 0)
    assert _kind_of(tmp_path / "result.dcm") == "AUTOMATIC"


def test_labels_drawn_on_a_series_are_saved_as_its_segmentation(
    make_napari_viewer_proxy, scan, tmp_path
):
    viewer = make_napari_viewer_proxy()
    (volume,) = viewer.open(str(scan), plugin=PLUGIN)
    viewer._new_labels()
    drawn = viewer.layers[-1]
    drawn.data = (volume.data > 900).astype(np.uint8)
    assert "hybridseg" not in drawn.metadata
    assert drawn.save(str(tmp_path / "drawn.dcm"), plugin=PLUGIN)
    image = read_segmentation(tmp_path / "drawn.dcm")
    stored = read_series(scan)
    np.testing.assert_array_equal(image.array[0], stored.array[0] > 900)
    assert image.geometry.same_grid(stored.geometry)
    assert _kind_of(tmp_path / "drawn.dcm") == "MANUAL"


def test_of_two_series_in_one_place_none_is_taken_by_chance(
    make_napari_viewer_proxy, scan, tmp_path
):
    save_series(tmp_path / "again", voxels((5, 6, 8)), series="1.2.3.4.9", description="Late")
    viewer = make_napari_viewer_proxy()
    for folder in (scan, tmp_path / "again"):
        (volume,) = viewer.open(str(folder), plugin=PLUGIN)
    viewer._new_labels()
    drawn = viewer.layers[-1]
    drawn.data = (volume.data > 900).astype(np.uint8)
    with pytest.raises(LayerError, match=r"Several DICOM series .*Late"):
        drawn.save(str(tmp_path / "drawn.dcm"), plugin=PLUGIN)
    viewer.layers.remove(volume)
    assert drawn.save(str(tmp_path / "drawn.dcm"), plugin=PLUGIN)


def test_napari_asks_who_opens_a_folder_until_its_preferences_say(
    make_napari_viewer_proxy, scan, monkeypatch
):
    viewer = make_napari_viewer_proxy()
    with pytest.raises(MultipleReaderError, match=PLUGIN):
        viewer.open(str(scan), plugin=None)
    monkeypatch.setattr(get_settings().plugins, "extension2reader", {"*/": PLUGIN})
    assert [layer.name for layer in viewer.open(str(scan), plugin=None)] == ["Thorax 5.0"]


@pytest.mark.parametrize("name", ["x.dcm", "X.DCM", "x.ima", "IM000003", "1.2.840.113619"])
def test_a_slice_opens_its_series_whatever_it_is_called(scan, name):
    (scan / "003.dcm").rename(scan / name)
    ((data, _, _),) = opened(scan / name)
    assert data.shape == (5, 6, 8)


def test_a_folder_opens_from_the_menu(make_napari_viewer_proxy, scan, monkeypatch):
    monkeypatch.setattr(
        "napari_hybridseg.widgets.open_dicom_folder.QFileDialog.getExistingDirectory",
        lambda *_: str(scan),
    )
    viewer = make_napari_viewer_proxy()
    npe2.PluginManager.instance().commands.execute(
        "napari-hybridseg.open_dicom_folder", args=(viewer,)
    )
    assert [layer.name for layer in viewer.layers] == ["Thorax 5.0"]


def test_labels_of_no_series_are_refused_in_one_sentence(make_volume, scan, tmp_path):
    volume = make_volume()
    array = np.ones(volume.geometry.shape, np.uint8)
    layer = label_map_layer(LabelMap(volume.geometry, volume.source, array, SCHEME))
    with pytest.raises(FormatError, match="these labels come from none"):
        npe2.write(str(tmp_path / "labels.dcm"), [layer], plugin_name=PLUGIN)
    labels = drawn_on(opened(scan)[0])
    scan.rename(tmp_path / "moved")
    with pytest.raises(FormatError, match="no longer at"):
        npe2.write(str(tmp_path / "labels.dcm"), [labels], plugin_name=PLUGIN)
    assert not (tmp_path / "labels.dcm").exists()


def test_a_segmentation_keeps_its_names_as_a_label_map(scan, tmp_path):
    npe2.write(str(tmp_path / "x.dcm"), [drawn_on(opened(scan)[0])], plugin_name=PLUGIN)
    assert load_label_map(tmp_path / "x.dcm").scheme.names == SCHEME.names


def _kind_of(path: Path | str) -> str:
    import pydicom

    return {s.SegmentAlgorithmType for s in pydicom.dcmread(path).SegmentSequence}.pop()
