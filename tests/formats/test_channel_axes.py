"""What the volumes of a 4D file are: as the file says, else not stated."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_samples import save_series, voxels

from napari_hybridseg.formats import (
    UNSTATED,
    ChannelAxis,
    FormatError,
    IrregularGridError,
    read_image,
    write_image,
)
from napari_hybridseg.geometry import Geometry

GRID = Geometry((5, 4, 3), (1, 1, 2), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [
        ("sec", 2.5, ChannelAxis("time", 2.5)),
        ("msec", 1500, ChannelAxis("time", 1.5)),
        ("usec", 2e6, ChannelAxis("time", 2.0)),
        ("sec", 1.0, UNSTATED),  # what ITK writes for anything
        ("sec", 0.0, UNSTATED),
        (None, 2.5, UNSTATED),
        ("hz", 2.5, UNSTATED),
    ],
)
def test_nifti(tmp_path: Path, unit: str | None, step: float, expected: ChannelAxis) -> None:
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3, 6), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    nibabel.save(image, tmp_path / "x.nii")
    axis = read_image(tmp_path / "x.nii").channel_axis
    assert (axis.kind, axis.step_s) == (expected.kind, pytest.approx(expected.step_s))


def test_niftis_fifth_axis_holds_vectors(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3, 1, 6), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2
    nibabel.save(image, tmp_path / "x.nii")
    assert read_image(tmp_path / "x.nii").channel_axis == ChannelAxis("channels")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("time", "time"), ("list", "channels"), ("vector", "channels"), ("RGB-color", "colours"),
     ("???", "unstated")],
)  # fmt: skip
def test_nrrd(tmp_path: Path, kind: str, expected: str) -> None:
    path = tmp_path / "x.nrrd"
    write_image(path, np.zeros((3, *GRID.shape), np.uint8), GRID)
    path.write_bytes(path.read_bytes().replace(b"domain list", b"domain " + kind.encode()))
    image = read_image(path)
    assert image.channel_axis.kind == expected
    assert any("volumes are time points" in note for note in image.notes) == (kind == "time")


SEQUENCE = {
    "space_directions": "(1,0,0) (0,1,0) (0,0,2) none",
    "kinds": "domain domain domain list",
    "labels": '"" "" "" "time"',
    "units": '"" "" "" "ms"',
}


def nrrd_of_volumes(path: Path, keys: str = "", **changes: str) -> np.ndarray:
    """Write three volumes of 5 x 4 x 2 voxels as other tools do."""
    array = np.arange(120, dtype=np.uint8).reshape(3, 2, 4, 5)
    fields = {"type": "uint8", "dimension": "4", "space": "left-posterior-superior",
              "sizes": "5 4 2 3", "encoding": "raw"} | changes  # fmt: skip
    head = "".join(
        f"{name.replace('_', ' ')}: {value}\n" for name, value in fields.items() if value
    )
    path.write_bytes(f"NRRD0004\n{head}{keys}\n".encode() + array.tobytes())
    return array


@pytest.mark.parametrize(
    ("changes", "keys", "expected"),
    [
        ({}, "axis 3 index type:=numeric\naxis 3 index values:=0 1500 3000\n", (1.5, "time")),
        ({}, "axis 3 index type:=numeric\naxis 3 index values:=0 1500 4000\n", (0, "time")),
        ({"units": ""}, "axis 3 index values:=0 1500 3000\n", (0, "time")),
        ({"labels": "", "units": ""}, "axis 3 index type:=numeric\n", (0, "unstated")),
        (
            {"labels": "", "units": ""},
            "MultiVolume.FrameIdentifyingDICOMTagName:=TriggerTime\n"
            "MultiVolume.FrameIdentifyingDICOMTagUnits:=ms\nMultiVolume.FrameLabels:=0,40,80\n",
            (0.04, "time"),
        ),
        (
            {"labels": "", "units": ""},
            "MultiVolume.FrameIdentifyingDICOMTagName:=FlipAngle\n"
            "MultiVolume.FrameIdentifyingDICOMTagUnits:=degrees\n"
            "MultiVolume.FrameLabels:=5,10,15\n",
            (0, "channels"),
        ),
        ({"labels": "", "units": "", "kinds": ""}, "", (0, "unstated")),
        (
            # as ITK writes 4D images
            {"labels": "", "units": "", "space": "", "space_dimension": "4",
             "space_directions": "(1,0,0,0) (0,1,0,0) (0,0,2,0) (0,0,0,2.5)",
             "kinds": "domain domain domain domain"},
            "", (0, "unstated"),
        ),
        (
            {"labels": "", "units": "", "space": "left-posterior-superior-time",
             "space_directions": "(1,0,0,0) (0,1,0,0) (0,0,2,0) (0,0,0,2.5)",
             "kinds": "domain domain domain time"},
            "", (2.5, "time"),
        ),
    ],
)  # fmt: skip
def test_what_other_tools_say_of_an_nrrds_volumes(
    tmp_path: Path, changes: dict[str, str], keys: str, expected: tuple[float, str]
) -> None:
    array = nrrd_of_volumes(tmp_path / "x.nrrd", keys, **(SEQUENCE | changes))
    image = read_image(tmp_path / "x.nrrd")
    assert (pytest.approx(image.channel_axis.step_s), image.channel_axis.kind) == expected
    np.testing.assert_array_equal(image.array, array)
    assert image.geometry.spacing == (1, 1, 2)
    uneven = "4000" in keys
    assert any("not evenly spaced" in note for note in image.notes) == uneven


def test_an_nrrd_axis_through_space_and_time_at_once_is_refused(tmp_path: Path) -> None:
    directions = "(1,0,0,0) (0,1,0,0) (0,0,2,0) (1,0,0,2.5)"
    nrrd_of_volumes(tmp_path / "x.nrrd", **(SEQUENCE | {"space_directions": directions}))
    with pytest.raises(FormatError, match="space and time at once"):
        read_image(tmp_path / "x.nrrd")


def test_frames_of_a_dicom_series_are_time_where_they_say_so(tmp_path: Path) -> None:
    for moment in (1, 2):
        more = {"TemporalPositionIdentifier": moment}
        save_series(tmp_path / f"stated/{moment}", voxels((3, 4, 5), moment), **more)
        save_series(tmp_path / f"unstated/{moment}", voxels((3, 4, 5), moment))
    stated = read_image(tmp_path / "stated")
    assert stated.channel_axis.kind == "time"
    np.testing.assert_array_equal(stated.array[1], voxels((3, 4, 5), 2))
    assert any("2 volumes are time points" in note for note in stated.notes)
    assert read_image(tmp_path / "unstated").channel_axis == UNSTATED


def test_phases_of_a_heartbeat_are_time_points(tmp_path: Path) -> None:
    # The later phase has the lower instance numbers: only the trigger says which came first.
    for phase, number in ((1, 1), (0, 2)):
        array = voxels((3, 4, 5), phase)
        save_series(tmp_path / str(number), array, TriggerTime=40.0 * phase)
    image = read_image(tmp_path)
    assert image.channel_axis == ChannelAxis("time", pytest.approx(0.04))
    for phase in (0, 1):
        np.testing.assert_array_equal(image.array[phase], voxels((3, 4, 5), phase))


def test_a_time_point_without_one_of_its_slices_is_refused(tmp_path: Path) -> None:
    for moment in (1, 2):
        files = save_series(
            tmp_path / str(moment), voxels((3, 4, 5)), TemporalPositionIdentifier=moment
        )
    files[1].unlink()
    with pytest.raises(IrregularGridError, match="2 slices at the same position and fewer"):
        read_image(tmp_path)


def test_an_nrrd_without_an_origin_says_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "x.nrrd"
    write_image(path, np.zeros(GRID.shape, np.uint8), GRID)
    head, _, rest = path.read_bytes().partition(b"space origin")
    path.write_bytes(head + rest.partition(b"\n")[2])
    assert any("begins at 0, 0, 0" in note for note in read_image(path).notes)
