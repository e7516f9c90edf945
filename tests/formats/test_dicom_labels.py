"""DICOM SEG and RTSTRUCT: true to the millimetre, and written so that others can read them."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_samples import FRAME_OF_REFERENCE, SERIES, STUDY, ct_slice, save, save_series, voxels
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import RTStructureSetStorage

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats import FormatError
from napari_hybridseg.formats.dicom import (
    Algorithm,
    list_series,
    read_segmentation,
    read_series,
    write_dicom_seg,
)
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ
from napari_hybridseg.volume import load_label_map

SHAPE = (5, 30, 40)
SCHEME = LabelScheme(
    organs=(
        Organ(id=2, name="liver", colour="#dd8265", snomed="10200004"),
        Organ(id=7, name="some mass", colour="#00ff00"),
        Organ(id=300, name="absent", colour="#0000ff", snomed="78961009"),
    )
)
NET = Algorithm("torso-utnetv2-3d", "1a2b3c4d")


def labels() -> np.ndarray:
    drawn = np.zeros(SHAPE, dtype=np.uint16)
    drawn[1:4, 5:20, 6:30] = 2
    drawn[3:, 15:25, 20:35] = 7
    return drawn


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    save_series(tmp_path / "scan", voxels(SHAPE))
    return tmp_path / "scan"


def write(path: Path, scan: Path, drawn: np.ndarray, **more: object) -> None:
    files = list_series(scan)[0].files
    grid = read_series(scan).geometry
    write_dicom_seg(path, drawn, grid, files, SCHEME, **{"algorithm": NET, **more})


def test_a_written_segmentation_comes_back_the_same(scan: Path, tmp_path: Path) -> None:
    write(tmp_path / "seg.dcm", scan, labels())
    image = read_segmentation(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(image.array[0], labels())
    assert image.geometry.same_grid(read_series(scan).geometry)
    assert image.scheme is not None
    assert image.scheme.ids == SCHEME.ids
    for organ, back in zip(SCHEME.organs, image.scheme.organs, strict=True):
        assert (back.name, back.snomed) == (organ.name, organ.snomed)
        # CIELab in 16 bits holds a colour to within rounding.
        assert np.abs(np.subtract(back.rgb, organ.rgb)).max() <= 2
    assert image.notes == ()
    # The common door knows it too, on canonical axes.
    np.testing.assert_array_equal(load_label_map(tmp_path / "seg.dcm").array, labels())


@pytest.mark.parametrize(
    "orientation",
    [(0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.48, 0.64, 0.6)],
)
def test_round_trip_in_any_orientation(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    scan = tmp_path / "scan"
    save_series(scan, voxels(SHAPE), orientation=orientation)
    write(tmp_path / "seg.dcm", scan, labels())
    image = read_segmentation(tmp_path / "seg.dcm", scan)
    np.testing.assert_array_equal(image.array[0], labels())
    assert image.geometry.same_grid(read_series(scan).geometry)


def test_it_says_what_it_was_made_on_and_by(scan: Path, tmp_path: Path) -> None:
    write(tmp_path / "seg.dcm", scan, labels())
    written = highdicom.seg.segread(tmp_path / "seg.dcm")
    source = dcmread(list_series(scan)[0].files[0])
    assert written.PatientID == source.PatientID
    assert written.StudyInstanceUID == STUDY
    assert written.FrameOfReferenceUID == FRAME_OF_REFERENCE
    assert written.SeriesInstanceUID != SERIES
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    referenced = {uid for _, _, uid in written.get_source_image_uids()}
    assert referenced == {dcmread(p).SOPInstanceUID for p in list_series(scan)[0].files}
    liver = written.get_segment_description(1)
    assert liver.segment_label == "liver"
    assert liver.segmented_property_type == highdicom.sr.CodedConcept("10200004", "SCT", "liver")
    assert liver.algorithm_type.value == "AUTOMATIC"
    assert liver.algorithm_identification.name == NET.name
    assert liver.algorithm_identification.version == NET.version
    assert written.get_segment_description(2).segmented_property_type.value == "85756007"
    # Every frame lies exactly on the slice that it names.
    places = {dcmread(p).SOPInstanceUID: dcmread(p) for p in list_series(scan)[0].files}
    for frame in written.PerFrameFunctionalGroupsSequence:
        named = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        stated = frame.PlanePositionSequence[0].ImagePositionPatient
        assert stated == pytest.approx(places[named].ImagePositionPatient)


def test_a_person_needs_no_algorithm(scan: Path, tmp_path: Path) -> None:
    write(tmp_path / "seg.dcm", scan, labels(), algorithm=None)
    segment = highdicom.seg.segread(tmp_path / "seg.dcm").get_segment_description(1)
    assert segment.algorithm_type.value == "MANUAL"


def test_an_empty_label_map_can_be_written(scan: Path, tmp_path: Path) -> None:
    write(tmp_path / "seg.dcm", scan, np.zeros(SHAPE, np.uint8))
    image = read_segmentation(tmp_path / "seg.dcm")
    assert not image.array.any()
    assert image.array.shape[1:] == SHAPE


def test_an_existing_file_is_never_overwritten_unasked(scan: Path, tmp_path: Path) -> None:
    path = tmp_path / "seg.dcm"
    path.write_text("precious")
    with pytest.raises(HybridSegError, match="exists already"):
        write(path, scan, labels())
    assert path.read_text() == "precious"
    write(path, scan, labels(), overwrite=True)
    assert read_segmentation(path).array.any()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan", "seg.dcm"]


def test_labels_of_another_grid_are_refused(scan: Path, tmp_path: Path) -> None:
    grid = read_series(scan).geometry
    moved = Geometry(grid.size, grid.spacing, (0, 0, 0), grid.direction)
    with pytest.raises(FormatError, match="is not that of the series"):
        write_dicom_seg(tmp_path / "a.dcm", labels(), moved, list_series(scan)[0].files)
    with pytest.raises(FormatError, match="does not fit its grid"):
        write_dicom_seg(tmp_path / "a.dcm", labels()[1:], grid, list_series(scan)[0].files)
    with pytest.raises(FormatError, match="are no labels"):
        write_dicom_seg(tmp_path / "a.dcm", labels() * 0.5, grid, list_series(scan)[0].files)
    assert not (tmp_path / "a.dcm").exists()


def test_sources_that_cannot_be_referred_to_are_refused(tmp_path: Path) -> None:
    save_series(tmp_path / "scan", voxels(SHAPE), FrameOfReferenceUID="")
    with pytest.raises(FormatError, match="has no FrameOfReferenceUID"):
        write(tmp_path / "seg.dcm", tmp_path / "scan", labels())


def test_anonymised_sources_will_do(tmp_path: Path) -> None:
    for path in save_series(tmp_path / "scan", voxels(SHAPE)):
        dataset = dcmread(path)
        for keyword in ("PatientID", "PatientBirthDate", "AccessionNumber", "StudyTime"):
            delattr(dataset, keyword)
        dataset.save_as(path)
    write(tmp_path / "seg.dcm", tmp_path / "scan", labels())
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm").array[0], labels())


def test_a_segmentation_without_its_scan_comes_on_its_own_grid(scan: Path, tmp_path: Path) -> None:
    far = tmp_path / "far" / "away" / "seg.dcm"
    far.parent.mkdir(parents=True)
    write(far, scan, labels())
    image = read_segmentation(far)
    # It holds the slices that are not empty.
    np.testing.assert_array_equal(image.array[0], labels()[1:])
    other = tmp_path / "other"
    save_series(other, voxels(SHAPE), series="1.2.9")
    with pytest.raises(FormatError, match="made on another series"):
        read_segmentation(far, other)


def square(low: float, high: float, z: float) -> list[float]:
    corners = ((low, low), (high, low), (high, high), (low, high))
    return [v for x, y in corners for v in (x, y, z)]


def structure_set(
    path: Path, rois: dict[str, list[list[float]]], *, series: str = SERIES, instance: str = ""
) -> Path:
    """Save contours given as x, y, z, x, y, z, ... in millimetres."""
    base = ct_slice(voxels((2, 2)), (0, 0, 0))
    dataset = FileDataset("", {}, file_meta=base.file_meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = base.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = base.SOPInstanceUID
    dataset.SeriesInstanceUID, dataset.Modality = "1.2.77", "RTSTRUCT"
    referenced, study, frame = Dataset(), Dataset(), Dataset()
    referenced.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [referenced]
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, outlines) in enumerate(rois.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber = drawn.ReferencedROINumber = number
        roi.ROIName, drawn.ROIDisplayColor = name, [255, 128, 0]
        drawn.ContourSequence = []
        for outline in outlines:
            contour, image = Dataset(), Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR" if len(outline) > 3 else "POINT"
            contour.NumberOfContourPoints, contour.ContourData = len(outline) // 3, outline
            if instance:
                image.ReferencedSOPInstanceUID = instance
                contour.ContourImageSequence = [image]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return save(dataset, path)


@pytest.fixture
def plain_scan(tmp_path: Path) -> Path:
    """Give 5 slices of 30 × 40 whose voxel centres are whole millimetres from 0, 1 mm apart."""
    for z in range(5):
        dataset = ct_slice(voxels((30, 40)), (0, 0, z), spacing=(1, 1))
        save(dataset, tmp_path / "scan" / f"{z}.dcm")
    return tmp_path / "scan"


def test_contours_are_filled_and_inner_ones_cut_holes(plain_scan: Path) -> None:
    outlines = [square(4.5, 20.5, 2), square(9.5, 14.5, 2), square(4.5, 20.5, 3)]
    image = read_segmentation(structure_set(plain_scan / "rt.dcm", {"ring": outlines}))
    expected = np.zeros((5, 30, 40), np.uint8)
    expected[2:4, 5:21, 5:21] = 1
    expected[2, 10:15, 10:15] = 0
    np.testing.assert_array_equal(image.array[0], expected)
    assert image.geometry.same_grid(read_series(plain_scan).geometry)
    assert image.scheme is not None
    assert image.scheme.organs == (Organ(id=1, name="ring", colour="#ff8000"),)


def test_a_keyhole_cuts_a_hole_too(plain_scan: Path) -> None:
    outer, inner = square(4.5, 20.5, 1), square(9.5, 14.5, 1)
    # Out along the border, in through the slit, around the hole the other way, and out again.
    backwards = [v for k in (0, 3, 2, 1, 0) for v in inner[3 * k : 3 * k + 3]]
    outline = [*outer, *outer[:3], *backwards, *outer[:3]]
    image = read_segmentation(structure_set(plain_scan / "rt.dcm", {"ring": [outline]}))
    expected = np.zeros((30, 40), np.uint8)
    expected[5:21, 5:21] = 1
    expected[10:15, 10:15] = 0
    # Centres exactly on the slit's diagonal may fall on either side.
    away = ~np.eye(30, 40, dtype=bool)
    np.testing.assert_array_equal(image.array[0, 1][away], expected[away])


def test_overlapping_structures_go_to_the_later_with_a_note(plain_scan: Path) -> None:
    rois = {"body": [square(1.5, 25.5, 2)], "liver": [square(4.5, 9.5, 2)]}
    image = read_segmentation(structure_set(plain_scan / "rt.dcm", rois))
    assert (image.array[0, 2, 5:10, 5:10] == 2).all()
    assert any("overlap in 25 voxels" in note for note in image.notes)


def test_points_and_empty_structures_are_left_out_with_a_note(plain_scan: Path) -> None:
    rois = {"liver": [square(4.5, 9.5, 2), [7.0, 7.0, 2.0]], "isocentre": [[1.0, 1.0, 1.0]]}
    image = read_segmentation(structure_set(plain_scan / "rt.dcm", rois))
    assert image.scheme is not None
    assert image.scheme.ids == (1,)
    assert [note.split(" ")[0] for note in image.notes] == ["Structures", "1"]


def test_contours_between_slices_go_to_the_nearest_with_a_note(plain_scan: Path) -> None:
    path = structure_set(plain_scan / "rt.dcm", {"liver": [square(4.5, 9.5, 2.3)]})
    image = read_segmentation(path)
    assert image.array[0, 2].any()
    assert any("between two slices" in note for note in image.notes)


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ([5.0, 5.0, 1.0, 9.0, 5.0, 2.0, 9.0, 9.0, 3.0], "plane of the slices"),
        (square(4.5, 9.5, 7), "beyond its slices"),
    ],
)
def test_contours_off_the_slices_are_refused(
    plain_scan: Path, outline: list[float], reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        read_segmentation(structure_set(plain_scan / "rt.dcm", {"liver": [outline]}))


def test_broken_references_are_refused(plain_scan: Path) -> None:
    rois = {"liver": [square(4.5, 9.5, 2)]}
    stranger = structure_set(plain_scan / "rt.dcm", rois, series="1.2.99")
    with pytest.raises(FormatError, match="needs the scan that it was drawn on"):
        read_segmentation(stranger)
    with pytest.raises(FormatError, match="another series"):
        read_segmentation(stranger, plain_scan)
    lost = structure_set(plain_scan / "rt.dcm", rois, instance="1.2.98")
    with pytest.raises(FormatError, match="not in the series"):
        read_segmentation(lost)
    silent = structure_set(plain_scan / "rt.dcm", rois, series="")
    with pytest.raises(FormatError, match="does not say on which series"):
        read_segmentation(silent)
