from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from napari_hybridseg.formats import FormatError, read_image, write_image
from napari_hybridseg.formats.nifti_header import NIFTI1, NIFTI2
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry((4, 3, 2), (0.5, 0.75, 2.0), (10.0, -20.0, 30.0), IDENTITY)


def edited(path: Path, **changes: object) -> Path:
    """Write a good file of counting voxels and change fields of its header."""
    write_image(path, np.arange(24, dtype=np.int16).reshape(2, 3, 4), GRID)
    raw = bytearray(path.read_bytes())
    fields = np.frombuffer(raw, NIFTI1, count=1)
    for name, value in changes.items():
        fields[name][0] = value
    path.write_bytes(raw)
    return path


def field(index: int, value: float, length: int = 8, base: tuple[float, ...] = ()) -> np.ndarray:
    values = np.array(base or np.ones(length), dtype=np.float64)
    values[index] = value
    return values


def test_headers_have_the_standard_sizes() -> None:
    assert (NIFTI1.itemsize, NIFTI2.itemsize) == (348, 540)
    assert NIFTI1.fields["magic"][1] == 344
    assert NIFTI2.fields["srow"][1] == 400


@pytest.mark.parametrize(("code", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_lengths_become_millimetres(tmp_path: Path, code: int, factor: float) -> None:
    image = read_image(edited(tmp_path / "x.nii", xyzt_units=code | 8))
    np.testing.assert_allclose(image.geometry.spacing, np.array(GRID.spacing) * factor)
    np.testing.assert_allclose(image.geometry.origin, np.array(GRID.origin) * factor)
    assert any("converted to millimetres" in note for note in image.notes) == (factor != 1)


def test_the_qform_serves_where_there_is_no_sform(tmp_path: Path) -> None:
    path = edited(tmp_path / "x.nii", sform_code=0)
    assert read_image(path).geometry.same_grid(GRID)
    np.testing.assert_allclose(
        read_image(path).geometry.affine, RAS_TO_LPS @ nibabel.load(path).affine
    )


def test_the_qform_serves_where_the_sform_is_singular(tmp_path: Path) -> None:
    image = read_image(edited(tmp_path / "x.nii", srow=np.zeros((3, 4))))
    assert image.geometry.same_grid(GRID)
    assert any("taken from the qform" in note for note in image.notes)


def test_a_quaternion_longer_than_one_is_no_rotation(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="singular"):
        read_image(edited(tmp_path / "x.nii", sform_code=0, quatern=(0.9, 0.9, 0.9)))


def test_an_sform_that_is_not_a_number_is_not_used(tmp_path: Path) -> None:
    bad = np.full((3, 4), np.nan)
    assert read_image(edited(tmp_path / "x.nii", srow=bad)).geometry.same_grid(GRID)
    with pytest.raises(FormatError, match="singular"):
        read_image(edited(tmp_path / "y.nii", srow=bad, qform_code=0))


def test_axes_off_by_rounding_are_straightened_with_a_note(tmp_path: Path) -> None:
    srow = np.array([[-0.5, 0.0003, 0, -10], [0, -0.75, 0, 20], [0, 0, 2, 30]])
    image = read_image(edited(tmp_path / "x.nii", srow=srow))
    assert any("straightened" in note for note in image.notes)
    assert image.geometry.same_grid(GRID, tolerance=0.1)


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"),
    [(2.0, -5.0, "int32"), (1.0, -1024.0, "int32"), (0.5, 0.0, "float32"), (1.0, 0.0, "int16")],
)
def test_slope_and_intercept(tmp_path: Path, slope: float, inter: float, dtype: str) -> None:
    image = read_image(edited(tmp_path / "x.nii", scl_slope=slope, scl_inter=inter))
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array.ravel(), np.arange(24) * slope + inter)


def test_a_slope_without_an_intercept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no intercept"):
        read_image(edited(tmp_path / "x.nii", scl_slope=2.0, scl_inter=np.nan))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dim": (3, 0, 3, 2, 1, 1, 1, 1)}, "size of 0 × 3 × 2"),
        ({"dim": (9, 4, 3, 2, 1, 1, 1, 1)}, "9 dimensions"),
        ({"dim": (3, 30000, 30000, 30000, 1, 1, 1, 1)}, "cut short"),
        ({"dim": (5, 2, 2, 1, 2, 3, 1, 1)}, "several dimensions"),
        ({"datatype": 7}, "data type 7"),
        ({"datatype": 1792}, "complex"),
        ({"datatype": 16}, "stated 16 bits"),
        ({"vox_offset": 100}, "begin at byte 100"),
        ({"vox_offset": np.nan}, "begin at byte nan"),
        ({"vox_offset": 1e9}, "cut short"),
        ({"sizeof_hdr": 347}, "not a NIfTI file"),
        ({"magic": b"ni1"}, "name and its mark"),
        ({"magic": b""}, "ANALYZE"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        read_image(edited(tmp_path / "x.nii", **changes))


def test_a_packed_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(edited(tmp_path / "x.nii").read_bytes()))
    raw[-6] ^= 1
    path = tmp_path / "x.nii.gz"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="cannot be unpacked"):
        read_image(path)


def test_a_file_packed_in_several_members_is_read(tmp_path: Path) -> None:
    raw = edited(tmp_path / "x.nii").read_bytes()
    path = tmp_path / "x.nii.gz"
    path.write_bytes(
        gzip.compress(raw[:100]) + gzip.compress(raw[100:380]) + gzip.compress(raw[380:])
    )
    np.testing.assert_array_equal(read_image(path).array.ravel(), np.arange(24))
    assert read_image(path).notes == ()


def test_bytes_too_many_are_noted(tmp_path: Path) -> None:
    path = edited(tmp_path / "x.nii")
    raw = path.read_bytes() + b"1234"
    path.write_bytes(raw)
    packed = tmp_path / "x.nii.gz"
    packed.write_bytes(gzip.compress(raw))
    for each in (path, packed):
        assert read_image(each).notes == (
            "The file holds 4 bytes more than its header accounts for.",
        )


def test_sform_and_qform_are_both_written_for_left_handed_oblique_grids(tmp_path: Path) -> None:
    angle = np.deg2rad(30)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    turn = turn @ np.diag([1.0, 1.0, -1.0])
    grid = Geometry((4, 3, 2), (0.5, 0.75, 2.0), (10.0, -20.0, 30.0), tuple(turn.ravel()))
    path = tmp_path / "x.nii.gz"
    write_image(path, np.zeros(grid.shape, np.uint8), grid)
    header = nibabel.load(path).header
    for form in (header.get_sform(), header.get_qform()):
        np.testing.assert_allclose(RAS_TO_LPS @ form, grid.affine, atol=1e-5)
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"


def test_names_of_labels_travel_in_the_header(tmp_path: Path) -> None:
    scheme = LabelScheme(
        organs=(
            Organ(id=1, name="liver & <bile>", colour="#aa3300"),
            Organ(id=300, name="Milz, größer", colour="#00ff7f"),
        )
    )
    array = np.zeros(GRID.shape, np.uint16)
    array[0, 0, 0] = 300
    path = tmp_path / "labels.nii.gz"
    write_image(path, array, GRID, scheme=scheme)
    image = read_image(path)
    assert image.scheme == scheme
    np.testing.assert_array_equal(image.array[0], array)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj).T, array)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array)


def test_names_that_another_program_wrote_are_read(tmp_path: Path) -> None:
    """The layout that TotalSegmentator writes: extension code 0, CDATA, blanks at the end."""
    table = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <VolumeInformation Index="0">'
        '<LabelTable><Label Key="0" Red="0" Green="0" Blue="0" Alpha="0"><![CDATA[?]]></Label>'
        '<Label Key="5" Red="1.0" Green="0.5" Blue="0" Alpha="1"><![CDATA[liver]]></Label>'
        "</LabelTable></VolumeInformation></CaretExtension>"
    )
    stored = nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
    stored.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table.encode()))
    nibabel.save(stored, tmp_path / "x.nii.gz")
    scheme = read_image(tmp_path / "x.nii.gz").scheme
    assert scheme == LabelScheme(organs=(Organ(id=5, name="liver", colour="#ff8000"),))


def test_a_damaged_table_of_names_costs_the_names_only(tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
    stored.header.extensions.append(nibabel.nifti1.Nifti1Extension(30, b"<LabelTable><Label"))
    nibabel.save(stored, tmp_path / "x.nii")
    image = read_image(tmp_path / "x.nii")
    assert image.scheme is None
    assert any("damaged" in note for note in image.notes)


def test_an_axis_too_long_for_the_format_is_refused(tmp_path: Path) -> None:
    grid = Geometry((40000, 1, 1), (1, 1, 1), (0, 0, 0), IDENTITY)
    with pytest.raises(FormatError, match=r"write a \.nrrd"):
        write_image(tmp_path / "x.nii", np.zeros(grid.shape, np.uint8), grid)
    assert not list(tmp_path.iterdir())
