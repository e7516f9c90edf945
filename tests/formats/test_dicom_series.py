"""Series made to order: sorted, scaled, judged, and refused in one sentence."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import PATIENT, ct_slice, save, save_series, voxels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_hybridseg.formats import FormatError, image_name, is_image_path, read_image
from napari_hybridseg.formats.dicom import libraries, list_series, read_series

VOXELS = voxels()
TILT = np.tan(np.deg2rad(14))


def test_slices_are_sorted_by_position_whatever_their_names_and_numbers(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array, VOXELS[None])
    assert image.geometry.spacing == pytest.approx((0.5, 0.75, 2.0))
    assert image.geometry.origin == pytest.approx((-10, 20, 30))
    assert image.modality == "CT"
    assert image.notes == ()


@settings(max_examples=15, deadline=None)
@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), step=st.floats(0.5, 8))
def test_any_orientation_puts_every_voxel_where_its_slice_says(
    tmp_path_factory: pytest.TempPathFactory, angles: tuple[float, ...], step: float
) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    row, column, normal = turn.T
    heights = [round(step * z, 6) for z in range(len(VOXELS))]
    save_series(folder, VOXELS, heights=heights, orientation=(*row, *column))
    image = read_series(folder)
    np.testing.assert_array_equal(image.array[0], VOXELS)
    for z, y, x in ((0, 0, 0), (4, 5, 6), (2, 3, 1)):
        expected = np.array([-10.0, 20, 30]) + normal * heights[z] + row * x * 0.5
        actual = image.geometry.world(np.array([z, y, x]))
        np.testing.assert_allclose(actual, expected + column * y * 0.75, atol=1e-5)


def test_every_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    for z, pixels in enumerate(VOXELS):
        dataset = ct_slice(pixels, (0, 0, 2.0 * z), slope=0.5 + z, intercept=-10.0 * z)
        save(dataset, tmp_path / f"{z}.dcm")
    z = np.arange(5)[:, None, None]
    image = read_series(tmp_path)
    assert image.array.dtype == np.float32
    np.testing.assert_allclose(image.array[0], VOXELS * (0.5 + z) - 10 * z, rtol=1e-6)


@pytest.mark.parametrize(
    ("intercept", "dtype"), [(0, "uint16"), (-1024, "int16"), (40000, "uint16"), (-40000, "int32")]
)
def test_whole_numbers_stay_whole(tmp_path: Path, intercept: int, dtype: str) -> None:
    save_series(tmp_path, VOXELS, intercept=intercept)
    array = read_series(tmp_path).array
    assert array.dtype == dtype
    np.testing.assert_array_equal(array[0], VOXELS.astype(np.int64) + intercept)


def test_a_missing_slice_is_refused_with_the_positions(tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS)
    paths[2].unlink()
    with pytest.raises(FormatError, match=r"1 missing.*30\.0, 32\.0, 36\.0, 38\.0 mm"):
        read_series(tmp_path)


def test_a_missing_slice_is_interpolated_on_request(tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS)
    paths[2].unlink()
    image = read_series(tmp_path, irregular="resample")
    np.testing.assert_array_equal(np.delete(image.array[0], 2, axis=0), np.delete(VOXELS, 2, 0))
    between = np.rint(VOXELS[[1, 3]].astype(float).mean(axis=0))
    np.testing.assert_array_equal(image.array[0, 2], between)
    assert image.geometry.spacing[2] == pytest.approx(2)
    assert any("4 were resampled to 5" in note for note in image.notes)
    nearest = read_series(tmp_path, irregular="resample-nearest").array[0, 2]
    assert any(np.array_equal(nearest, VOXELS[z]) for z in (1, 3))


def test_rounded_positions_are_even_enough_and_noted(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS, heights=[0, 2.05, 4, 6.1, 8])
    image = read_series(tmp_path)
    assert any("0.1 mm off even spacing" in note for note in image.notes)


def test_a_tilted_gantry_is_refused_or_straightened(tmp_path: Path) -> None:
    # A ramp along the columns is interpolated exactly, so each voxel can be checked.
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint16)[:, None] * 40, (5, 40, 7)).copy()
    save_series(tmp_path, ramp, sideways=TILT)
    with pytest.raises(FormatError, match=r"tilted gantry.*14\.0 degrees"):
        read_series(tmp_path)
    image = read_series(tmp_path, irregular="resample")
    assert image.geometry.direction == pytest.approx(np.eye(3).ravel())
    z, y = 3, 20
    centre = image.geometry.world(np.array([z, y, 3]))
    stored_row = (centre[1] - 20 - TILT * 2.0 * z) / 0.75
    assert image.array[0, z, y, 3] == pytest.approx(40 * stored_row, abs=0.51)


def test_slices_beside_the_line_of_the_others_are_refused(tmp_path: Path) -> None:
    for z, pixels in enumerate(VOXELS):
        save(ct_slice(pixels, (3.0 * (z == 2), 0, 2.0 * z)), tmp_path / f"{z}.dcm")
    with pytest.raises(FormatError, match="no straight stack"):
        read_series(tmp_path, irregular="resample")


def test_the_same_frames_at_every_position_become_channels(tmp_path: Path) -> None:
    late = voxels(seed=1)
    for z in range(5):
        save(ct_slice(late[z], (0, 0, 2.0 * z), number=10 + z), tmp_path / f"a{z}.dcm")
        save(ct_slice(VOXELS[z], (0, 0, 2.0 * z), number=1 + z), tmp_path / f"b{z}.dcm")
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array, np.stack([VOXELS, late]))
    assert any("do not say whether they are time points" in note for note in image.notes)


def test_a_position_that_only_some_slices_share_is_refused(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    save(ct_slice(VOXELS[0], (-10, 20, 34.0), number=9), tmp_path / "again.dcm")
    with pytest.raises(FormatError, match=r"same position.*at 34\.0 mm"):
        read_series(tmp_path)
    image = read_series(tmp_path, irregular="resample")
    np.testing.assert_array_equal(image.array[0], VOXELS)
    assert any("1 slices repeated" in note for note in image.notes)


def test_a_file_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS)
    shutil.copy(paths[0], tmp_path / "copy.dcm")
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array[0], VOXELS)
    assert image.notes == (
        "The folder also holds 1 file that repeats another (the same instance): left out.",
    )
    np.testing.assert_array_equal(read_series(tmp_path / "copy.dcm").array[0], VOXELS)


def test_several_series_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "a", VOXELS)
    save_series(tmp_path / "b", VOXELS[:3] + 1, series="1.2.9", description="Scout")
    with pytest.raises(
        FormatError, match=r"several series.*'Thorax 5\.0'.*5 slices.*'Scout'"
    ) as no:
        read_series(tmp_path)
    infos = list_series(tmp_path)
    assert re.search(r"in a/\S+\).* in b/\S+\)", str(no.value))
    assert [(i.description, i.modality, i.count, i.size) for i in infos] == [
        ("Thorax 5.0", "CT", 5, (7, 6)),
        ("Scout", "CT", 3, (7, 6)),
    ]
    np.testing.assert_array_equal(read_series(tmp_path, "1.2.9").array[0], VOXELS[:3] + 1)
    np.testing.assert_array_equal(read_series(infos[0].files[2]).array[0], VOXELS)
    with pytest.raises(FormatError, match=r"no series 1\.2\.8"):
        read_series(tmp_path, "1.2.8")


def test_mixed_sizes_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "a", VOXELS)
    big = voxels((3, 8, 9), seed=2)
    save_series(tmp_path / "b", big)
    with pytest.raises(FormatError, match="mixes orientations or sizes"):
        read_series(tmp_path)
    small, other = list_series(tmp_path)
    assert (small.uid, other.uid) == ("1.2.3.4.1", "1.2.3.4.1#2")
    image = read_series(tmp_path, other.uid)
    np.testing.assert_array_equal(image.array[0], big)
    assert any("mixes 2 orientations or sizes" in note for note in image.notes)


def test_mixed_orientations_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "a", VOXELS)
    sagittal = save_series(tmp_path / "b", VOXELS[:3], orientation=(0, 1, 0, 0, 0, -1))
    with pytest.raises(FormatError, match="mixes orientations or sizes"):
        read_series(tmp_path, irregular="resample")
    assert [info.count for info in list_series(tmp_path)] == [5, 3]
    assert read_series(sagittal[0]).geometry.axis_codes == "PIR"


def test_other_files_are_left_out_with_a_note(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    image = read_series(tmp_path)
    assert image.notes == ("The folder also holds 1 file that is not DICOM: left out.",)


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    os.mkfifo(tmp_path / "pipe")
    np.testing.assert_array_equal(read_series(tmp_path).array[0], VOXELS)


def test_an_unplaced_screenshot_does_not_stand_in_the_way(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    report = ct_slice(VOXELS[0], (0, 0, 0), series="1.2.7")
    del report.ImagePositionPatient
    save(report, tmp_path / "dose.dcm")
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array[0], VOXELS)
    assert any("1 CT" in note for note in image.notes)
    with pytest.raises(FormatError, match="states no position in the patient"):
        read_series(tmp_path / "dose.dcm")


def test_colours_become_channels(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)
    for z, pixels in enumerate(colour):
        save(ct_slice(pixels, (0, 0, 2.0 * z)), tmp_path / f"{z}.dcm")
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array, np.moveaxis(colour, -1, 0))
    assert any("in colour" in note for note in image.notes)


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "mosaic"),
        ("PhotometricInterpretation", "PALETTE COLOR", "palette"),
    ],
)
def test_what_cannot_be_stacked_is_refused(
    tmp_path: Path, attribute: str, value: object, reason: str
) -> None:
    save_series(tmp_path, VOXELS, **{attribute: value})
    with pytest.raises(FormatError, match=reason):
        read_series(tmp_path)


def test_one_slice_takes_its_stated_thickness(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS[:1])
    image = read_series(tmp_path)
    assert image.geometry.spacing[2] == pytest.approx(2)
    assert any("one slice only" in note for note in image.notes)


def test_a_truncated_slice_is_refused_by_name(tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS)
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:-20])
    with pytest.raises(FormatError, match=f"{paths[1].name} is cut short"):
        read_series(tmp_path)
    paths[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=f"{paths[1].name} is (damaged|cut short)"):
        read_series(tmp_path)


def test_files_without_a_preamble_open(tmp_path: Path) -> None:
    for path in save_series(tmp_path, VOXELS):
        raw = path.read_bytes()
        # Group 2 has 4 + 8 bytes of header and says how long the rest of it is.
        start = 132 + 12 + int.from_bytes(raw[140:144], "little")
        path.write_bytes(raw[start:])
    np.testing.assert_array_equal(read_series(tmp_path).array[0], VOXELS)


def test_files_that_name_no_series_are_one_a_folder(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS, series="")
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.array[0], VOXELS)
    assert any("name no series" in note for note in image.notes)


def test_nothing_read_identifies_the_patient(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    everything = pickle.dumps((read_series(tmp_path), list_series(tmp_path)))
    assert b"Thorax" in everything
    for identifier in (PATIENT, "4711", "19700101"):
        assert identifier.encode() not in everything


def test_the_common_door_knows_folders_and_files_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    path = save_series(folder, VOXELS, description="Thorax / 5.0 mm")[0].rename(folder / "IM1")
    for each in (folder, path):
        assert is_image_path(each)
        assert image_name(each) == "Thorax _ 5.0 mm"
        np.testing.assert_array_equal(read_image(each).array[0], VOXELS)
    save_series(tmp_path / "plain", VOXELS, description="")
    assert image_name(tmp_path / "plain") == "plain"
    (tmp_path / "empty").mkdir()
    assert not is_image_path(tmp_path / "empty")
    with pytest.raises(FormatError, match="is a folder without DICOM files"):
        read_image(tmp_path / "empty")
    (tmp_path / "text.dcm").write_text("no image")
    with pytest.raises(FormatError, match="not a DICOM file, whatever its name says"):
        read_image(tmp_path / "text.dcm")


def test_without_the_libraries_one_sentence_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_series(tmp_path, VOXELS)
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FormatError, match=r'run: pip install "napari-hybridseg\[dicom\]"'):
        read_image(tmp_path)
    assert image_name(tmp_path) == tmp_path.name
