"""Names, missing files, and writing that never leaves half a file."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.formats import (
    FormatError,
    image_name,
    is_image_path,
    read_image,
    supported_extensions,
    write_image,
)
from napari_hybridseg.geometry import Geometry

GRID = Geometry((64, 64, 32), (1.0, 1.5, 2.0), (1, 2, 3), (1, 0, 0, 0, 1, 0, 0, 0, 1))
NOISE = np.random.default_rng(0).integers(0, 60000, GRID.shape, dtype=np.uint16)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ct.nii.gz", "ct"),
        ("/a/b.c/ct.v2.NII.GZ", "ct.v2"),
        ("x.seg.nrrd", "x"),
        ("x.mhd", "x"),
        ("notes.txt", "notes"),
    ],
)
def test_image_name(name: str, expected: str) -> None:
    assert image_name(name) == expected
    assert is_image_path(name) == (not name.endswith("txt"))


def test_every_ending_is_an_image_path() -> None:
    assert all(is_image_path(f"x{ending}") for ending in supported_extensions())
    assert not is_image_path(".nii")


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "x.bmp").write_bytes(b"BM")
    for name, reason in {
        "none.nii": "does not exist",
        "folder.nii": "is a folder",
        "pipe.nii": "not an ordinary file",
        "x.bmp": "unknown kind",
        "bad\0name.nii": "cannot be opened",
    }.items():
        with pytest.raises(FormatError, match=reason):
            read_image(tmp_path / name)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_an_existing_file_is_kept_unless_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"precious")
    with pytest.raises(WriteError, match="exists already"):
        write_image(path, NOISE % 50, GRID)
    assert path.read_bytes() == b"precious"
    write_image(path, NOISE % 50, GRID, overwrite=True)
    np.testing.assert_array_equal(read_image(path).array[0], NOISE % 50)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    write_image(path, np.zeros(GRID.shape, np.uint8), GRID)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses the bytes as a full disk does, with another number.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            write_image(path, NOISE, GRID, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="does not exist"):
        write_image(tmp_path / "none" / "x.nii", NOISE, GRID)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(WriteError, match="cannot be written"):
        write_image(tmp_path / "file" / "x.nii", NOISE, GRID)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.nii").write_bytes(b"old")
    (tmp_path / "link.nii").symlink_to(tmp_path / "real.nii")
    write_image(tmp_path / "link.nii", NOISE, GRID, overwrite=True)
    assert (tmp_path / "link.nii").is_symlink()
    np.testing.assert_array_equal(read_image(tmp_path / "real.nii").array[0], NOISE)


def test_the_same_image_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, NOISE, GRID)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("array", "name", "reason"),
    [
        (NOISE[:-1], "x.nii", "does not fit its grid"),
        (NOISE[0], "x.nii", "does not fit its grid"),
        (NOISE.astype(complex), "x.nii", "complex128"),
        (NOISE.astype(object), "x.nii", "object"),
        (NOISE, "x.bmp", "must end in"),
        (NOISE, "x.mhd", "must end in"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, array: np.ndarray, name: str, reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        write_image(tmp_path / name, array, GRID)
    assert not list(tmp_path.iterdir())


def test_booleans_and_half_floats_are_widened(tmp_path: Path) -> None:
    write_image(tmp_path / "b.nii", NOISE > 30000, GRID)
    assert read_image(tmp_path / "b.nii").array.dtype == np.uint8
    halves = NOISE.astype(np.float16)
    write_image(tmp_path / "h.nrrd", halves, GRID)
    np.testing.assert_array_equal(read_image(tmp_path / "h.nrrd").array[0], halves)
