"""NRRD and MetaImage: what their text headers can say."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_hybridseg.formats import FormatError, read_image

VOXELS = np.arange(24, dtype="<i2")
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(0.5,0,0) (0,0.75,0) (0,0,2)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,-20,30)",
}
MHA = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
    "Offset": "10 -20 30",
    "ElementSpacing": "0.5 0.75 2",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def nrrd(path: Path, data: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    fields = {**NRRD, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    path.write_bytes("\n".join(["NRRD0005", "# made by hand", *lines, "", ""]).encode() + data)
    return path


def mha(path: Path, data: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    tags = {**MHA, **changes}
    tags["ElementDataFile"] = tags.pop("ElementDataFile")
    lines = [f"{name} = {value}\n" for name, value in tags.items() if value is not None]
    path.write_bytes("".join(lines).encode() + data)
    return path


def sitk_affine(path: Path) -> np.ndarray:
    stored = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(stored.GetDirection(), (3, 3)) * stored.GetSpacing()
    affine[:3, 3] = stored.GetOrigin()
    return affine


@pytest.mark.parametrize(
    ("space", "codes"),
    [
        ("left-posterior-superior", "LPS"),
        ("right-anterior-superior", "RAS"),
        ("RAS", "RAS"),
        ("left-anterior-superior", "LAS"),
    ],
)
def test_nrrd_spaces(tmp_path: Path, space: str, codes: str) -> None:
    path = nrrd(tmp_path / "x.nrrd", space=space)
    image = read_image(path)
    assert image.geometry.axis_codes == codes
    assert image.notes == ()
    np.testing.assert_allclose(image.geometry.affine, sitk_affine(path))


def test_nrrd_without_patient_axes_says_so(tmp_path: Path) -> None:
    path = nrrd(
        tmp_path / "x.nrrd",
        space=None,
        space_directions=None,
        space_origin=None,
        spacings="0.5 0.75 2",
    )
    image = read_image(path)
    assert image.geometry.spacing == (0.5, 0.75, 2.0)
    assert any("left could be right" in note for note in image.notes)


def test_nrrd_without_spacing_says_so(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "x.nrrd", space=None, space_directions=None, space_origin=None)
    assert any("1 mm was assumed" in note for note in read_image(path).notes)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("um", 1e-3), ("cm", 10.0)])
def test_nrrd_units(tmp_path: Path, unit: str, factor: float) -> None:
    path = nrrd(tmp_path / "x.nrrd", space_units=" ".join([f'"{unit}"'] * 3))
    np.testing.assert_allclose(read_image(path).geometry.spacing, np.array([0.5, 0.75, 2]) * factor)


@pytest.mark.parametrize("first", [True, False])
def test_nrrd_channels_may_be_the_first_or_the_last_axis(tmp_path: Path, first: bool) -> None:
    space, other = "(1,0,0) (0,1,0)", "none"
    changes = (
        {"sizes": "3 4 2", "space_directions": f"{other} {space}", "kinds": "vector domain domain"}
        if first
        else {
            "sizes": "4 2 3",
            "space_directions": f"{space} {other}",
            "kinds": "domain domain list",
        }
    )
    image = read_image(nrrd(tmp_path / "x.nrrd", **changes))
    expected = VOXELS.reshape(2, 4, 3).transpose(2, 0, 1) if first else VOXELS.reshape(3, 2, 4)
    np.testing.assert_array_equal(image.array[:, 0], expected)
    assert image.geometry.size == (4, 2, 1)
    assert any("3 volumes" in note for note in image.notes)


def test_nrrd_big_endian_and_gzip(tmp_path: Path) -> None:
    data = gzip.compress(VOXELS.astype(">i2").tobytes())
    image = read_image(nrrd(tmp_path / "x.nrrd", data, endian="big", encoding="gzip"))
    np.testing.assert_array_equal(image.array.ravel(), VOXELS)


def test_nhdr_and_mhd_read_the_file_beside_them(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(b"head" + VOXELS.tobytes())
    paths = [
        nrrd(tmp_path / "x.nhdr", b"", data_file="x.raw", byte_skip="4"),
        nrrd(tmp_path / "y.nhdr", b"", data_file="x.raw", byte_skip="-1"),
        mha(tmp_path / "x.mhd", b"", ElementDataFile="x.raw", HeaderSize="4"),
        mha(tmp_path / "y.mhd", b"", ElementDataFile="x.raw", HeaderSize="-1"),
    ]
    for path in paths:
        np.testing.assert_array_equal(read_image(path).array.ravel(), VOXELS)
    (tmp_path / "x.raw").unlink()
    for path in paths:
        with pytest.raises(FormatError, match=r"x\.raw, which is not beside it"):
            read_image(path)


def test_mha_rows_of_the_matrix_are_axes(tmp_path: Path) -> None:
    path = mha(tmp_path / "x.mha", Modality="MET_MOD_CT")
    image = read_image(path)
    np.testing.assert_allclose(image.geometry.affine, sitk_affine(path))
    assert image.modality == "CT"
    assert image.notes == ()


def test_mha_long_is_32_bit_as_in_itk(tmp_path: Path) -> None:
    path = mha(tmp_path / "x.mha", VOXELS.astype("<i4").tobytes(), ElementType="MET_LONG")
    np.testing.assert_array_equal(
        read_image(path).array[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    )


def test_mha_in_two_and_four_dimensions(tmp_path: Path) -> None:
    flat = mha(
        tmp_path / "x.mha",
        NDims="2",
        DimSize="6 4",
        TransformMatrix="1 0 0 1",
        Offset="1 2",
        ElementSpacing="3 4",
    )
    assert read_image(flat).geometry.size == (6, 4, 1)
    four = mha(
        tmp_path / "y.mha",
        NDims="4",
        DimSize="2 3 2 2",
        TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
        Offset="1 2 3 0",
        ElementSpacing="3 4 5 1",
    )
    image = read_image(four)
    np.testing.assert_array_equal(image.array, VOXELS.reshape(2, 2, 3, 2))
    assert image.geometry.spacing == (3, 4, 5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sizes": "4 3"}, "no size"),
        ({"sizes": "4 3 -2"}, "no size"),
        ({"sizes": "10000 10000 10000"}, "cut short"),
        ({"sizes": "4 3 3"}, "cut short: its header promises 72 bytes of voxels and it holds 48"),
        ({"type": "block"}, "type 'block'"),
        ({"type": None}, "does not state the type"),
        ({"endian": None}, "does not state the endian"),
        ({"encoding": "bzip2"}, "encoded as 'bzip2'"),
        ({"encoding": "gzip"}, "cannot be unpacked"),
        ({"space_directions": "(1,0,0) (0,1,0)"}, "space direction"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,x,1)"}, "space directions is not"),
        ({"space_directions": "(1,0,0) (1,0,0) (0,0,1)"}, "singular"),
        ({"space_directions": "(1,0,0) (0.3,1,0) (0,0,1)"}, "sheared"),
        ({"space_directions": "(1,0,0) none none"}, "1 axes in space"),
        ({"data_file": "LIST"}, "several data files"),
        ({"line_skip": "2"}, "skips lines"),
    ],
)
def test_nrrd_refusals(tmp_path: Path, changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_image(nrrd(tmp_path / "x.nrrd", **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DimSize": "4 3"}, "no size"),
        ({"DimSize": "10000 10000 10000"}, "cut short"),
        ({"DimSize": "4 3 3"}, "cut short: its header promises 72 bytes of voxels and it holds 48"),
        ({"NDims": "7", "DimSize": "1 1 1 1 1 1 1"}, "7 dimensions"),
        ({"ElementType": "MET_STRING"}, "type 'MET_STRING'"),
        ({"ElementDataFile": None}, "does not state elementdatafile"),
        ({"ElementDataFile": "slice%03d.raw 1 9 1"}, "several data files"),
        ({"CompressedData": "True"}, "cannot be unpacked"),
        ({"CompressedData": "True", "CompressedDataSize": "999"}, "999 compressed bytes"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, "6 numbers instead of 9"),
        ({"TransformMatrix": "1 0 0 0.3 1 0 0 0 1"}, "sheared"),
        ({"ElementSpacing": "0 1 1"}, "singular"),
        ({"BinaryData": "False"}, "as text"),
        ({"ObjectType": "Mesh"}, "holds a Mesh"),
    ],
)
def test_mha_refusals(tmp_path: Path, changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_image(mha(tmp_path / "x.mha", **changes))


@pytest.mark.parametrize("name", ["x.nrrd", "x.mha", "x.nii", "x.mgz"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"%PDF-1.7\n" + bytes(600))
    with pytest.raises(FormatError, match="whatever its name says"):
        read_image(tmp_path / name)
