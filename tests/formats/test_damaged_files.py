"""Files that were cut, flipped and garbled: refused in one sentence, or read truly."""

from __future__ import annotations

import random
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from mutations import CUTS, MUTATIONS

from napari_hybridseg.formats import FormatError, read_image, write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

GRID = Geometry((9, 8, 7), (0.5, 0.75, 2.0), (10.0, -20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
VOXELS = np.random.default_rng(0).integers(0, 4, GRID.shape, dtype=np.uint8)
SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen"})
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".mgz")
HEADER_BYTES = {".nii": 352, ".nii.gz": 200, ".nrrd": 300, ".seg.nrrd": 1500, ".mha": 330,
                ".mgz": 284}  # fmt: skip
# A gzip file ends with a mark of two bytes and eight of checksum; MGH voxels with optional tags.
EXPENDABLE = {".nii": 0, ".nii.gz": 10, ".nrrd": 10, ".seg.nrrd": 10, ".mha": 0, ".mgz": 40}
MOST_SECONDS = 10.0
MOST_BYTES = 2 << 30


def whole_file(folder: Path, ending: str) -> Path:
    path = folder / f"whole{ending}"
    if ending == ".mgz":
        import nibabel

        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.affine
        nibabel.save(nibabel.MGHImage(VOXELS.T, affine), path)
    else:
        write_image(path, VOXELS, GRID, scheme=SCHEME if ending != ".nii.gz" else None)
    return path


def assert_refused_or_true(path: Path, was_cut: bool) -> bool:
    """Read a file; on success of a cut one, all its voxels must be there."""
    started = time.perf_counter()
    image, refusal = None, ""
    try:
        image = read_image(path)
    except FormatError as error:
        refusal = str(error)
    assert time.perf_counter() - started < MOST_SECONDS
    if image is None:
        assert refusal.endswith(".")
        assert "\n" not in refusal
        return False
    if was_cut:
        np.testing.assert_array_equal(image.array[0], VOXELS)
        assert image.geometry.same_grid(GRID)
    assert image.array.shape[1:] == image.geometry.shape
    return True


def mutate(folder: Path, ending: str, count: int, seed: int) -> None:
    raw = whole_file(folder, ending).read_bytes()
    rng = random.Random(seed)
    path = folder / f"mutant{ending}"
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for index in range(count):
                mutation = MUTATIONS[index % len(MUTATIONS)]
                path.write_bytes(mutation(raw, rng, HEADER_BYTES[ending]))
                assert_refused_or_true(path, mutation in CUTS)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_hundred_mutants(tmp_path: Path, ending: str) -> None:
    mutate(tmp_path, ending, count=100, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_two_thousand_mutants(tmp_path: Path, ending: str) -> None:
    mutate(tmp_path, ending, count=2000, seed=2)


@pytest.mark.parametrize("ending", ENDINGS)
def test_cut_at_every_byte(tmp_path: Path, ending: str) -> None:
    raw = whole_file(tmp_path, ending).read_bytes()
    path = tmp_path / f"cut{ending}"
    opened = []
    for length in range(0, len(raw), 1 if len(raw) < 1500 else 3):
        path.write_bytes(raw[:length])
        if assert_refused_or_true(path, was_cut=True):
            opened.append(length)
    assert all(length >= len(raw) - EXPENDABLE[ending] for length in opened), opened


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_a_promise_of_a_million_million_voxels_allocates_nothing(
    tmp_path: Path, ending: str
) -> None:
    raw = whole_file(tmp_path, ending).read_bytes()
    if ending == ".nii":
        raw = raw[:42] + np.array([10000] * 3, "<i2").tobytes() + raw[48:]
    else:
        raw = raw.replace(b"9 8 7", b"10000 10000 10000")
    path = tmp_path / f"bomb{ending}"
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(FormatError, match="cut short"):
        read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_refusal_is_one_line_whatever_is_in_the_header_or_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x85.nhdr"
    path.write_bytes(b"NRRD0004\ntype: in\x1et\x0c\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n")
    with pytest.raises(FormatError) as refusal:
        read_image(path)
    assert str(refusal.value).isprintable()
