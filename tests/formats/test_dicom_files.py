"""Every DICOM file on hand: it opens to this grid, or it is refused for this reason.

Series are compared with SimpleITK's GDCM reader, with the NIfTI truth that came with them, or with
positions and pixels taken one by one with pydicom; segmentations with the NRRD files beside them.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_referees import assert_agrees, by_frames

from napari_hybridseg.formats import FormatError, read_image
from napari_hybridseg.formats.dicom.headers import is_dicom_file
from napari_hybridseg.labels import Organ


@dataclass(frozen=True)
class Opens:
    """Axis codes, array shape, type, spacing (x, y, z) in mm, notes, and who agrees."""

    codes: str
    shape: tuple[int, int, int, int]
    dtype: str
    spacing: tuple[float, float, float]
    notes: tuple[str, ...] = ()
    referee: str = "sitk"


RTSTRUCTS = ("other DICOM files (1 RTSTRUCT)",)
RTS = ("other DICOM files (3 RTSTRUCT)",)
ONE = ("one slice only",)
FRACTIONS = ("fractional",)
D2N = "dicom/dicom2nifti"
MR4 = ((1, 4, 256, 256), "uint16", (1, 1, 1))
SLIDE = r"states no position in the patient \(a microscope slide"
SEG_SLIDE = "segments state no position in the patient"
REPORT = "holds no image that could be a volume"
SEVERAL = "holds several series"
NO_DICOM = "a folder without DICOM files"

# Folders stand for all files directly in them; files in the same folder that are no part of its
# series have their own line.
TABLE: dict[str, Opens | str] = {
    "dicom": SEVERAL,
    "dicom/corrupt": NO_DICOM,
    "dicom/ct_oriented_rtutils": Opens(
        "LPS", (1, 3, 50, 100), "float32", (2.5, 3.5, 4.5), ("1 file that is not DICOM",)
    ),
    "dicom/ct_rtstruct_lung_phantom_pat_2": Opens(
        "LPS", (1, 41, 138, 141), "int16", (0.977, 0.977, 3), RTSTRUCTS
    ),
    "dicom/ct_rtstruct_lung_phantom_pat_2/DCM_RS_00041.dcm": Opens(
        "LPS", (1, 41, 138, 141), "uint8", (0.977, 0.977, 3), referee="contours"
    ),
    "dicom/ct_rtstruct_rtutils_mock": Opens(
        "LPS", (1, 2, 512, 512), "int16", (0.488281, 0.488281, 5), RTS
    ),
    "dicom/ct_rtstruct_rtutils_mock/rt.dcm": Opens(
        "LPS", (1, 2, 512, 512), "uint8", (0.488281, 0.488281, 5), referee="contours"
    ),
    "dicom/ct_rtstruct_rtutils_mock/invalid_reference_rt.dcm": "not in the series",
    "dicom/ct_rtstruct_rtutils_mock/non_existent_reference_rt.dcm": "does not say on which series",
    "dicom/ct_seg_dcmqi": SEVERAL,
    "dicom/ct_seg_dcmqi/ct-3slice": Opens(
        "LPS", (1, 3, 512, 512), "int16", (0.810547, 0.810547, 1)
    ),
    "dicom/ct_seg_dcmqi/liver.dcm": Opens(
        "LPS", (1, 3, 512, 512), "uint8", (0.810547, 0.810547, 1), (), "liver_seg.nrrd"
    ),
    "dicom/ct_seg_dcmqi/partial_overlaps.dcm": Opens(
        "LPS",
        (1, 3, 512, 512),
        "uint8",
        (0.810547, 0.810547, 1),
        ("overlap in 3,134 voxels",),
        "partial_overlaps-1.nrrd partial_overlaps-2.nrrd partial_overlaps-3.nrrd",
    ),
    "dicom/ct_seg_dcmqi/sparse-labelmap-noppv.dcm": Opens(
        "LPS", (1, 3, 38, 24), "uint8", (0.7, 0.7, 2.5), (), "sparse_labelmap_noppv_seg.nrrd"
    ),
    "dicom/ct_seg_dcmqi/sparse-labelmap-ppv5.dcm": Opens(
        "LPS", (1, 3, 38, 24), "uint8", (0.7, 0.7, 2.5), (), "sparse_labelmap_ppv5_seg.nrrd"
    ),
    **{
        f"dicom/ct_seg_dcmqi/{n}x38x3/{folder}": entry
        for n in (23, 24)
        for folder, entry in {
            "image": Opens("LPS", (1, 3, 38, n), "uint16", (0.7, 0.7, 2.5)),
            "multiframe": Opens("LPS", (1, 3, 38, n), "uint16", (0.7, 0.7, 2.5), referee="frames"),
            "seg": Opens("LPS", (1, 3, 38, n), "uint8", (0.7, 0.7, 2.5), (), "../nrrd/label.nrrd"),
            "nrrd": NO_DICOM,
            "screenshots": NO_DICOM,
        }.items()
    },
    "dicom/ct_torchio_17": Opens("RAS", (1, 17, 128, 88), "int16", (2, 2, 2)),
    f"{D2N}/failing/gantrytilting/001": r"tilted gantry.*-122\.2, -117\.3, .* by 14\.0 degrees",
    f"{D2N}/failing/slicecount/001": Opens(
        "PIR", (1, 2, 256, 256), "uint16", (1, 1, 1), (), "truth"
    ),
    f"{D2N}/failing/sliceincrement/001": r"not evenly spaced.*18\.1, 23\.1, 28\.1, 38\.1 mm",
    f"{D2N}/failing/sliceorientation/001": "mixes orientations or sizes",
    f"{D2N}/failing/sliceorientation/001/IM-0001-0001-0001 2.dcm": Opens(
        "PIR", (1, 2, 288, 288), "uint16", (0.32, 0.32, 3.3), ("mixes 2 orientations",), "frames"
    ),
    f"{D2N}/failing/sliceorientation/001/IM-0001-0001-0001.dcm": Opens(
        "LPS",
        (1, 2, 288, 288),
        "uint16",
        (0.555556, 0.555556, 4.4),
        ("mixes 2 orientations",),
        "frames",
    ),
    f"{D2N}/generic/anatomical/002_non_isotropic": Opens(
        "LPS", (1, 4, 28, 64), "float32", (6.39996, 4, 0.5), referee="frames"
    ),
    f"{D2N}/generic/compressed_j2k/001": Opens("PIR", *MR4, (), "truth"),
    f"{D2N}/generic/compressed_jpeg/001": Opens("PIR", *MR4, (), "truth"),
    f"{D2N}/generic/compressed_jpegls/001": Opens("PIR", *MR4, (), "truth"),
    f"{D2N}/generic/compressed_rle/001": Opens("PIR", *MR4, (), "truth"),
    f"{D2N}/generic/rgb/001": Opens(
        "LPS", (3, 4, 77, 52), "uint8", (3, 3, 3), ("in colour",), "truth"
    ),
    f"{D2N}/hyperfine/anatomical/001": Opens(
        "LPS", (1, 8, 138, 112), "uint16", (1.59, 1.61, 5), (), "truth"
    ),
    f"{D2N}/philips_enhanced/anatomical/001": Opens(
        "PIR", (1, 8, 256, 256), "float32", (1, 1, 1.2), referee="frames"
    ),
    f"{D2N}/siemens_multiframe/anatomical/001": Opens(
        "LPS", (1, 8, 256, 256), "uint16", (0.9375, 0.9375, 0.9), referee="frames"
    ),
    "dicom/enhanced_mr_niivue_enh.dcm": Opens(
        "LPS", (1, 6, 64, 64), "uint16", (3.375, 3.375, 2.4), referee="frames"
    ),
    "dicom/mr_hippocampus_crop_series": Opens("LPS", (1, 32, 51, 35), "int16", (1, 1, 1)),
    "dicom/mr_prostatex_missing_slice": r"not evenly spaced.*1 missing.*-15\.9, -9\.9",
    "dicom/seg_highdicom": Opens(
        "LPS",
        (1, 1, 128, 128),
        "int16",
        (0.661468, 0.661468, 5),
        (*ONE, "not DICOM", "repeats another", "(1 ANN, 1 DX, 12 SEG, 7 SM, 2 SR)"),
    ),
    "dicom/seg_highdicom/ct_image.dcm": Opens(
        "LPS", (1, 1, 128, 128), "int16", (0.661468, 0.661468, 5), ONE
    ),
    "dicom/seg_highdicom/dx_image.dcm": r"states no position in the patient \(a plain X-ray",
    "dicom/seg_highdicom/seg_image_cr_binary.dcm": SEG_SLIDE,
    **{
        f"dicom/seg_highdicom/seg_image_ct_{name}.dcm": Opens(
            "LPS", shape, "uint8", spacing, notes, "highdicom"
        )
        for name, shape, spacing, notes in (
            ("binary", (1, 3, 16, 16), (0.488281, 0.488281, 1.25), ()),
            ("binary_fractional", (1, 3, 16, 16), (0.488281, 0.488281, 1.25), FRACTIONS),
            ("true_fractional", (1, 3, 16, 16), (0.488281, 0.488281, 1.25), FRACTIONS),
            ("binary_overlap", (1, 165, 16, 16), (0.488281, 0.488281, 1.25), ("16 voxels",)),
            ("binary_single_frame", (1, 1, 128, 128), (0.661468, 0.661468, 5), ()),
        )
    },
    **{
        f"dicom/seg_highdicom/seg_image_sm_{name}.dcm": SEG_SLIDE
        for name in (
            "control",
            "control_labelmap",
            "control_labelmap_palette_color",
            "dots",
            "dots_tiled_full",
            "numbers",
        )
    },
    **{
        f"dicom/seg_highdicom/sm_{name}.dcm": SLIDE
        for name in (
            "image",
            "image_control",
            "image_dots",
            "image_grayscale",
            "image_grayscale_reversed",
            "image_jpegls",
            "image_jpegls_nobot",
            "image_numbers",
        )
    },
    "dicom/seg_highdicom/sm_annotations.dcm": REPORT,
    "dicom/seg_highdicom/sr_document.dcm": REPORT,
    "dicom/seg_highdicom/sr_document_with_multiple_groups.dcm": REPORT,
    "totalseg_reference/ct_dicom_series": Opens(
        "LPS", (1, 20, 512, 512), "int16", (0.976562, 0.976562, 2), ("name no series",)
    ),
}
SERIES_FOLDERS = [
    name
    for name, entry in TABLE.items()
    if isinstance(entry, Opens) and not name.endswith((".dcm", "/seg", "/seg_highdicom"))
]
# Files among them that are no DICOM: what becomes of each kind.
OTHERS = {
    ".md": "of an unknown kind",
    ".txt": "of an unknown kind",
    ".png": None,
    ".jpg": None,
    ".jpeg": None,
    ".zip": "Git LFS pointer",
    ".nrrd": None,
    ".gz": None,
}


def dicom_files(shared_data: Path) -> list[Path]:
    folders = (shared_data / "dicom", shared_data / "totalseg_reference/ct_dicom_series")
    return [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]


def test_the_table_covers_every_file(shared_data: Path) -> None:
    """A file has its own line, or is a slice of the one series in its folder's line."""
    left = []
    for path in dicom_files(shared_data):
        name = path.relative_to(shared_data).as_posix()
        if not is_dicom_file(path):
            assert path.suffix in OTHERS, path
        elif name not in TABLE:
            folder = TABLE.get(path.parent.relative_to(shared_data).as_posix())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pydicom.dcmread(path, stop_before_pixels=True)
            is_slice = header.Modality in ("CT", "MR") and "Rows" in header
            is_label = path.name == "label.seg"
            if folder in (None, SEVERAL, NO_DICOM) or not (is_slice or is_label):
                left.append(name)
    assert left == []
    assert all((shared_data / name).exists() for name in TABLE)


def test_what_is_no_dicom_is_opened_or_refused(shared_data: Path) -> None:
    others = [p for p in dicom_files(shared_data) if not is_dicom_file(p)]
    assert len(others) == 38
    for path in others:
        reason = OTHERS[path.suffix]
        if reason is None:
            assert read_image(path).array.size
        else:
            with pytest.raises(FormatError, match=reason):
                read_image(path)


@pytest.mark.parametrize("name", TABLE)
def test_opens_truly_or_is_refused(shared_data: Path, name: str) -> None:
    expected, path = TABLE[name], shared_data / name
    if isinstance(expected, str):
        with pytest.raises(FormatError) as refusal:
            read_image(path)
        message = str(refusal.value)
        assert re.search(expected, message), message
        assert str(path.parent) in message
        assert message.endswith(".")
        assert "\n" not in message
        assert "; " in message, "it says what to do"
        return
    image = read_image(path)
    assert image.array.shape == expected.shape
    assert image.array.dtype == expected.dtype
    assert image.geometry.shape == expected.shape[1:]
    assert image.geometry.axis_codes == expected.codes
    assert image.geometry.spacing == pytest.approx(expected.spacing, rel=1e-3)
    assert len(image.notes) == len(expected.notes), image.notes
    for piece in expected.notes:
        assert any(piece in note for note in image.notes), image.notes
    assert_agrees(image, path, expected.referee)


@pytest.mark.parametrize("name", SERIES_FOLDERS)
def test_any_file_of_a_series_opens_the_series(shared_data: Path, name: str) -> None:
    folder = shared_data / name
    files = [p for p in sorted(folder.iterdir()) if is_dicom_file(p)]
    slices = [p for p in files if pydicom.dcmread(p).Modality in ("CT", "MR")]
    whole = read_image(folder)
    for path in (slices[0], slices[-1]):
        image = read_image(path)
        assert image.geometry == whole.geometry
        np.testing.assert_array_equal(image.array, whole.array)


def test_the_tilted_scan_is_straightened_on_request(shared_data: Path) -> None:
    """The same place in the patient has the same value in the resampled volume."""
    folder = shared_data / f"{D2N}/failing/gantrytilting/001"
    image = read_image(folder, sheared="resample")
    slices = [pydicom.dcmread(p) for p in sorted(folder.glob("*.dcm"))]
    inside = slices[2].pixel_array * 1.0 - 1024
    row = np.array([1.0, 0, 0])
    column = np.array([float(v) for v in slices[2].ImageOrientationPatient[3:]])
    origin = np.array([float(v) for v in slices[2].ImagePositionPatient])
    spacing = float(slices[2].PixelSpacing[0])
    for y, x in ((100, 100), (256, 256), (300, 411)):
        world = origin + (row * x + column * y) * spacing
        z, v, u = image.geometry.index(world)
        assert z == pytest.approx(2, abs=1e-6)
        low = int(v)
        pair = image.array[0, 2, low : low + 2, round(u)].astype(float)
        nearby = inside[y - 1 : y + 2, x]
        between = pair[0] * (1 - (v - low)) + pair[1] * (v - low)
        assert nearby.min() - 1 <= between <= nearby.max() + 1


@pytest.mark.parametrize(
    ("name", "shape", "missing"),
    [
        ("mr_prostatex_missing_slice", (1, 19, 128, 84), 13),
        ("dicom2nifti/failing/sliceincrement/001", (1, 5, 512, 512), 3),
    ],
)
def test_uneven_series_are_resampled_on_request(
    shared_data: Path, name: str, shape: tuple[int, ...], missing: int
) -> None:
    image = read_image(shared_data / "dicom" / name, sheared="resample")
    assert image.array.shape == shape
    affine, voxels = by_frames(sorted((shared_data / "dicom" / name).glob("*.dcm")))
    np.testing.assert_array_equal(np.delete(image.array, missing, axis=1), voxels)
    np.testing.assert_allclose(image.geometry.origin, affine[:3, 3], atol=1e-4)


def test_codes_from_before_2017_are_translated(shared_data: Path) -> None:
    """The liver is T-62000 in SNOMED-RT, which the file has, and 10200004 in SNOMED-CT."""
    scheme = read_image(shared_data / "dicom/ct_seg_dcmqi/liver.dcm").scheme
    assert scheme is not None
    assert scheme.organs == (Organ(id=1, name="Liver", colour="#dd8265", snomed="10200004"),)
