from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_support import hybridseg, hybridseg_process
from helpers import grid

from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_volume


def test_a_file_in_numbers(image: Path) -> None:
    ran = hybridseg("info", image, "--json")
    assert ran.code == 0
    assert ran.err == ""
    (entry,) = ran.json["files"]
    assert ran.json["failed"] == []
    source = load_volume(image).source
    assert entry["size"] == list(source.size)
    assert entry["spacing_mm"] == list(source.spacing)
    assert entry["origin_mm_lps"] == list(source.origin)
    assert entry["direction"] == list(source.direction)
    assert entry["orientation"] == "SRA"
    assert entry["oblique"] is True
    assert entry["type"] == "float32"
    assert entry["lowest"] < 0 < entry["highest"]
    assert entry["labels_ml"] is None


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "u8"])
def test_whole_numbers_are_shown_as_labels(tmp_path: Path, dtype: str) -> None:
    array = np.zeros((4, 5, 6), dtype)
    array[:2] = 3
    write_image(tmp_path / "l.nrrd", array, grid((4, 5, 6), spacing=(1, 2, 5)))
    (entry,) = hybridseg("info", tmp_path / "l.nrrd", "--json").json["files"]
    assert entry["labels_ml"] == {"3": pytest.approx(2 * 5 * 6 * 10 / 1000)}


def test_a_file_for_people(image: Path) -> None:
    ran = hybridseg("info", image)
    assert ran.code == 0
    assert "10 × 9" not in ran.out
    assert "9 × 11 × 10 voxels" in ran.out
    assert "10 coronal slices from back to front, tilted by 22° against the body\n" in ran.out
    sides = "a row runs from the patient's feet to head, a column from left to right (SRA)"
    assert f"{sides}\n" in ran.out


def test_time_points_and_units_for_people(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    film = nibabel.Nifti1Image(np.zeros((5, 6, 1, 7), np.int16), np.diag([2, 2, 3, 1]))
    film.header.set_xyzt_units("mm", "msec")
    film.header["pixdim"][4] = 1500
    nibabel.save(film, tmp_path / "film.nii.gz")
    ran = hybridseg("info", tmp_path / "film.nii.gz")
    assert "5 × 6 × 1 voxels of 2 × 2 × 3 mm, 10 × 12 × 3 mm in all" in ran.out
    assert ran.out.count("7 time points, 1.5 s apart") == 1
    assert "volumes are" not in ran.out
    assert "1 axial slice from feet to head\n" in ran.out
    assert "0 to 0, whole numbers (int16)" in ran.out


def test_labels_for_people(tmp_path: Path) -> None:
    array = np.zeros((2, 5, 10), np.uint8)
    array[0] = 2
    names = LabelScheme.from_names({2: "li\nver"})
    write_image(tmp_path / "x.seg.nrrd", array, grid((2, 5, 10), (1, 1, 10)), scheme=names)
    assert "labels       li?ver: 0.5 mL" in hybridseg("info", tmp_path / "x.seg.nrrd").out


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    write_image(tmp_path / "n.nrrd", np.full((2, 2, 2), np.nan, np.float32), grid((2, 2, 2)))
    ran = hybridseg("info", tmp_path / "n.nrrd", "--json")
    (entry,) = ran.json["files"]
    assert entry["lowest"] is None
    assert any("NaN" in problem for problem in entry["problems"])
    assert "none is a number" in hybridseg("info", tmp_path / "n.nrrd").out


def test_a_refused_scan_names_the_option_that_opens_it(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    sheared = np.diag([1.0, 1.0, 2.0, 1.0])
    sheared[1, 2] = 0.8
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.int16), sheared), tmp_path / "s.nii")
    ran = hybridseg("info", tmp_path / "s.nii")
    assert ran.code == 1
    assert "open it with resampling (--resample on the command line)" in ran.err
    again = hybridseg("info", tmp_path / "s.nii", "--resample")
    assert again.code == 0
    assert "resampled to a right-angled grid" in again.out


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path, image: Path) -> None:
    (tmp_path / "bad.nii.gz").write_bytes(b"no image")
    ran = hybridseg_process(
        "info", tmp_path / "bad.nii.gz", image, tmp_path / "gone.nrrd", "--json"
    )
    assert ran.code == 1
    assert [entry["file"] for entry in ran.json["files"]] == [str(image)]
    bad, gone = ran.json["failed"]
    assert "bad.nii.gz" in bad["error"]
    assert "does not exist" in gone["error"]
    ran = hybridseg("info", tmp_path / "gone.nrrd", image)
    assert ran.code == 1
    assert "gone.nrrd does not exist" in ran.sentence
    assert "scan.nii.gz" in ran.out
