from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_hybridseg.formats import FormatError, read_image, write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ

GRID = Geometry((6, 5, 4), (1.0, 1.5, 2.0), (1, 2, 3), (1, 0, 0, 0, 1, 0, 0, 0, 1))
SCHEME = LabelScheme(
    organs=(
        Organ(id=2, name="Leber", colour="#dd8265", snomed="10200004"),
        Organ(id=40, name="Tumor | neu", colour="#ff0000"),
    )
)


def layered(path: Path, layers: np.ndarray, segments: list[dict[str, str]]) -> Path:
    """Write layers as Slicer does: one component of each voxel a layer."""
    stored = sitk.GetImageFromArray(np.moveaxis(layers, 0, -1), isVector=True)
    stored.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    for index, segment in enumerate(segments):
        for name, value in segment.items():
            stored.SetMetaData(f"Segment{index}_{name}", value)
    sitk.WriteImage(stored, str(path))
    return path


def test_names_colours_and_codes_come_back(tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.int64)
    labels[1:3, 2, 3] = 2
    labels[0, 0, 0] = 40
    write_image(tmp_path / "x.seg.nrrd", labels, GRID, scheme=SCHEME)
    image = read_image(tmp_path / "x.seg.nrrd")
    assert image.scheme == SCHEME
    np.testing.assert_array_equal(image.array[0], labels)
    assert image.geometry == GRID


def test_the_header_is_what_slicer_reads(tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 2, 3] = 2
    labels[3, 0, 0] = 7
    write_image(tmp_path / "x.seg.nrrd", labels, GRID, scheme=SCHEME)
    stored = sitk.ReadImage(str(tmp_path / "x.seg.nrrd"))
    keys = {key: stored.GetMetaData(key) for key in stored.GetMetaDataKeys()}
    assert keys["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert keys["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert keys["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert keys["Segment0_Name"] == "Leber"
    assert keys["Segment0_LabelValue"] == "2"
    assert keys["Segment0_Layer"] == "0"
    assert "~SCT^123037004^Anatomical Structure~SCT^10200004^Leber~" in keys["Segment0_Tags"]
    assert "~SCT^85756007^Tissue~SCT^85756007^Tissue~" in keys["Segment1_Tags"]
    assert keys["Segment2_Name"] == "label 7"
    # Slicer clips the whole layer to its first segment's extent.
    assert {keys[f"Segment{i}_Extent"] for i in range(3)} == {"0 5 0 4 0 3"}


def test_layers_with_numbers_of_their_own_are_merged(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), np.uint8)
    layers[0, 0], layers[1, 2] = 1, 2
    segments = [
        {"ID": "a", "Name": "liver", "Color": "1 0 0", "LabelValue": "1", "Layer": "0"},
        {"ID": "b", "Name": "spleen", "Color": "0 1 0", "LabelValue": "2", "Layer": "1"},
    ]
    image = read_image(layered(tmp_path / "x.seg.nrrd", layers, segments))
    np.testing.assert_array_equal(image.array[0], layers.sum(axis=0))
    assert image.scheme is not None
    assert image.scheme.names == {1: "liver", 2: "spleen"}
    assert image.scheme.organ(2).colour == "#00ff00"
    assert not any("overlap" in note for note in image.notes)


def test_layers_that_share_numbers_and_voxels_are_numbered_anew(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), np.uint8)
    layers[0, :2], layers[1, 1:] = 1, 1
    segments = [{"ID": "a", "Name": "liver"}, {"ID": "b", "Name": "tumour"}]
    image = read_image(layered(tmp_path / "x.seg.nrrd", layers, segments))
    np.testing.assert_array_equal(image.array[0, :, 0, 0], [1, 2, 2, 2])
    assert image.scheme is not None
    assert image.scheme.names == {1: "liver", 2: "tumour"}
    assert any("overlap in 30 voxels" in note for note in image.notes)
    assert any("numbered anew" in note for note in image.notes)


def test_segments_without_a_usable_number_are_left_out_with_a_note(tmp_path: Path) -> None:
    layers = np.ones((1, *GRID.shape), np.uint8)
    segments = [
        {"ID": "a", "Name": "liver", "LabelValue": "1", "Layer": "0", "Color": "red"},
        {"ID": "b", "Name": "spleen", "LabelValue": "x", "Layer": "0"},
        {"ID": "c", "Name": "again", "LabelValue": "1", "Layer": "0"},
        {"ID": "d", "Name": "far", "LabelValue": "1", "Layer": "9"},
    ]
    image = read_image(layered(tmp_path / "x.seg.nrrd", layers, segments))
    assert image.scheme is not None
    assert image.scheme.names == {1: "liver"}
    assert any("3 segments" in note for note in image.notes)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full(GRID.shape, -1), "from -1 to -1"),
        (np.full(GRID.shape, 70000), "70000"),
        (np.zeros(GRID.shape), "whole numbers"),
        (np.zeros((2, *GRID.shape), np.uint8), "one label map"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        write_image(tmp_path / "x.seg.nrrd", array, GRID)
    assert not list(tmp_path.iterdir())


def test_an_empty_segmentation_is_a_segmentation(tmp_path: Path) -> None:
    write_image(tmp_path / "x.seg.nrrd", np.zeros(GRID.shape, np.uint8), GRID)
    assert read_image(tmp_path / "x.seg.nrrd").scheme == LabelScheme()
