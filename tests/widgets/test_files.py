from __future__ import annotations

import npe2
import numpy as np
import pytest
from napari.errors import MultipleReaderError
from napari.settings import get_settings

from napari_hybridseg.formats import FormatError, read_image, write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, Volume
from napari_hybridseg.widgets.layer_data import label_map_layer
from napari_hybridseg.widgets.readers import get_reader, read_files

SCHEME = LabelScheme.from_names({1: "liver", 3: "spleen"})
PLUGIN = "napari-hybridseg"


@pytest.fixture(autouse=True)
def plugins_known() -> None:
    npe2.PluginManager.instance().discover()


@pytest.fixture
def label_map(make_volume) -> LabelMap:
    tilt = np.array([[0, 0.6, 0.8], [1, 0, 0], [0, 0.8, -0.6]])
    volume: Volume = make_volume(tilt)
    array = (np.arange(volume.array[0].size).reshape(volume.geometry.shape) % 4).astype(np.uint8)
    array[array == 2] = 0
    return LabelMap(volume.geometry, volume.source, array, SCHEME, "truth")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd"])
def test_labels_go_through_npe2_and_back_onto_the_same_grid(label_map, tmp_path, ending):
    path = str(tmp_path / f"liver_reference{ending}")
    written = npe2.write(path, [label_map_layer(label_map)], plugin_name=PLUGIN)
    assert written == [path]
    stored = read_image(tmp_path / f"liver_reference{ending}")
    assert stored.geometry.same_grid(label_map.source, 1e-5)
    ((data, attributes, kind),) = npe2.read([path], stack=False, plugin_name=PLUGIN)
    assert kind == "labels"
    assert np.array_equal(data, label_map_layer(label_map)[0])
    if ending == ".seg.nrrd":
        assert attributes["metadata"]["hybridseg"]["scheme"] == SCHEME.model_dump(mode="json") | {
            "name": attributes["metadata"]["hybridseg"]["scheme"]["name"]
        }


@pytest.mark.parametrize(
    ("name", "kind"),
    [("case_reference", "labels"), ("case-seg", "labels"), ("case", "image"), ("label_1", "image")],
)
def test_a_file_of_numbers_opens_as_labels_if_it_is_called_so(label_map, tmp_path, name, kind):
    path = tmp_path / f"{name}.nii.gz"
    write_image(path, label_map.to_source(label_map.array), label_map.source)
    ((_, _, opened),) = read_files(str(path))
    assert opened == kind


def test_the_edited_voxels_of_a_correction_open_as_labels(label_map, tmp_path):
    path = tmp_path / "edited.nrrd"
    mask = (label_map.array > 0).astype(np.uint8)
    write_image(path, label_map.to_source(mask), label_map.source)
    assert [kind for _, _, kind in read_files(str(path))] == ["image"]
    (tmp_path / "case.json").write_text("{}")
    ((data, _, kind),) = read_files(str(path))
    assert kind == "labels"
    assert data.sum() == mask.sum()


def test_a_file_opens_as_labels_if_a_json_of_its_name_has_label_names(label_map, tmp_path):
    write_image(tmp_path / "case.nii.gz", label_map.to_source(label_map.array), label_map.source)
    (tmp_path / "case.json").write_text('{"RepetitionTime": 2}')
    assert read_files(str(tmp_path / "case.nii.gz"))[0][2] == "image"
    (tmp_path / "case.json").write_text(SCHEME.to_json())
    ((_, attributes, kind),) = read_files(str(tmp_path / "case.nii.gz"))
    assert kind == "labels"
    assert list(attributes["features"]["organ"]) == ["background", "liver", "spleen"]


def test_who_opens_medical_files_is_settled_by_a_command(
    make_napari_viewer_proxy, label_map, tmp_path, monkeypatch
):
    """napari's own reader claims them too, and cannot read their grids."""
    path = str(tmp_path / "liver_seg.nii.gz")
    write_image(path, label_map.to_source(label_map.array), label_map.source)
    viewer = make_napari_viewer_proxy()
    monkeypatch.setattr(get_settings().plugins, "extension2reader", {})
    with pytest.raises(MultipleReaderError):
        viewer.open(path, plugin=None)
    npe2.PluginManager.instance().commands.execute("napari-hybridseg.always_open_here")
    (layer,) = viewer.open(path, plugin=None)
    assert "geometry" in layer.metadata["hybridseg"]
    assert get_settings().plugins.extension2reader["*.dcm"] == PLUGIN
    assert "*.png" not in get_settings().plugins.extension2reader


def test_other_files_are_left_to_others_and_bad_ones_say_why(tmp_path):
    assert get_reader("photo.png") is None
    assert get_reader(["a.nii.gz", "photo.png"]) is None
    bad = tmp_path / "cut.nii.gz"
    bad.write_bytes(b"\x1f\x8b" + b"0" * 100)
    reader = get_reader(str(bad))
    assert reader is not None
    with pytest.raises(FormatError):
        reader(str(bad))


def test_what_is_odd_about_a_label_map_is_told(label_map, tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr("napari_hybridseg.widgets.notices.show_info", told.append)
    for name, kind in (("odd_seg", np.float32), ("plain_seg", np.uint8)):
        path = tmp_path / f"{name}.nrrd"
        write_image(path, label_map.array.astype(kind), label_map.geometry)
        npe2.read([str(path)], stack=False, plugin_name=PLUGIN)
    (notice,) = told
    assert notice.startswith("odd_seg stores its labels as decimal numbers")
