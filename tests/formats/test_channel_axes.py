"""What the volumes of a 4D file are: as the file says, else not stated."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_samples import save_series, voxels

from napari_hybridseg.formats import UNSTATED, ChannelAxis, read_image, write_image
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
    assert any(("is time" in note) == (kind == "time") for note in image.notes)


def test_frames_of_a_dicom_series_are_time_where_they_say_so(tmp_path: Path) -> None:
    for moment in (1, 2):
        more = {"TemporalPositionIdentifier": moment}
        save_series(tmp_path / f"stated/{moment}", voxels((3, 4, 5), moment), **more)
        save_series(tmp_path / f"unstated/{moment}", voxels((3, 4, 5), moment))
    stated = read_image(tmp_path / "stated")
    assert stated.channel_axis.kind == "time"
    np.testing.assert_array_equal(stated.array[1], voxels((3, 4, 5), 2))
    assert any("2 time points" in note for note in stated.notes)
    assert read_image(tmp_path / "unstated").channel_axis == UNSTATED


def test_an_nrrd_without_an_origin_says_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "x.nrrd"
    write_image(path, np.zeros(GRID.shape, np.uint8), GRID)
    head, _, rest = path.read_bytes().partition(b"space origin")
    path.write_bytes(head + rest.partition(b"\n")[2])
    assert any("begins at 0, 0, 0" in note for note in read_image(path).notes)
