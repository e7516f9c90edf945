"""DICOM files that were cut, flipped and garbled: refused in one sentence, or read truly."""

from __future__ import annotations

import random
import shutil
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import save_series, voxels
from mutations import CUTS, DICOM_MUTATIONS, element_places
from test_dicom_labels import square, structure_set

from napari_hybridseg.formats import FormatError, StoredImage, read_image
from napari_hybridseg.formats.dicom import Algorithm, read_series, write_dicom_seg
from napari_hybridseg.labels import LabelScheme

VOXELS = voxels((3, 6, 7))
SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen"})
MOST_SECONDS = 10.0
MOST_BYTES = 2 << 30
COMPRESSED = ("compressed_jpeg", "compressed_jpegls", "compressed_j2k", "compressed_rle")


def series(folder: Path) -> Path:
    return save_series(folder / "scan", VOXELS, intercept=-1024)[1]


def segmentation(folder: Path) -> Path:
    files = save_series(folder / "scan", VOXELS)
    grid = read_series(files[0]).geometry
    path = folder / "scan" / "seg.dcm"
    write_dicom_seg(path, VOXELS % 3, grid, files, SCHEME, algorithm=Algorithm("a", "1"))
    return path


def structures(folder: Path) -> Path:
    save_series(folder / "scan", VOXELS)
    outline = [v + s for v, s in zip(square(0, 2, 32), [-9.5, 20.5, 0] * 4, strict=True)]
    return structure_set(folder / "scan" / "rt.dcm", {"liver": [outline], "spleen": [outline]})


KINDS: dict[str, Callable[[Path], Path]] = {
    "series": series,
    "SEG": segmentation,
    "RTSTRUCT": structures,
}


def mutate(path: Path, count: int, seed: int) -> tuple[int, int]:
    """Open mutants of one file; give how many opened and how many were refused."""
    raw, rng = path.read_bytes(), random.Random(seed)
    truth = read_image(path)
    opened = 0
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for index in range(count):
                mutation = DICOM_MUTATIONS[index % len(DICOM_MUTATIONS)]
                path.write_bytes(mutation(raw, rng, len(raw)))
                image = read_or_refuse(path)
                opened += image is not None
                if image is not None and mutation in CUTS:
                    assert_same(image, truth)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return opened, count - opened


def read_or_refuse(path: Path) -> StoredImage | None:
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
    else:
        assert image.array.shape[1:] == image.geometry.shape
    return image


def assert_same(image: StoredImage, truth: StoredImage) -> None:
    np.testing.assert_array_equal(image.array, truth.array)
    assert image.geometry.same_grid(truth.geometry)


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_mutants(tmp_path: Path, kind: str) -> None:
    _, refused = mutate(KINDS[kind](tmp_path), count=20, seed=1)
    assert refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_mutants(tmp_path: Path, kind: str) -> None:
    opened, refused = mutate(KINDS[kind](tmp_path), count=2000, seed=2)
    assert opened
    assert refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPRESSED)
def test_mutants_of_compressed_slices(shared_data: Path, tmp_path: Path, kind: str) -> None:
    folder = shared_data / "dicom/dicom2nifti/generic" / kind / "001"
    for path in folder.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    assert mutate(sorted(tmp_path.iterdir())[1], count=200, seed=3)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["hyperfine/anatomical/001/001.dcm", "philips_enhanced/anatomical/001/IM-0001-0170-0001.dcm"],
)
def test_mutants_of_enhanced_files(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "enhanced.dcm"
    shutil.copyfile(shared_data / "dicom/dicom2nifti" / name, path)
    assert mutate(path, count=200, seed=4)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere_it_is_refused_or_whole(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind](tmp_path)
    raw, truth = path.read_bytes(), read_image(path)
    for length in range(0, len(raw), max(1, len(raw) // 40)):
        path.write_bytes(raw[:length])
        image = read_or_refuse(path)
        if image is not None:
            assert_same(image, truth)


@pytest.mark.parametrize("left", [0, 50, 131, 400])
@pytest.mark.parametrize("name", ["003.dcm", "IM000003"])
def test_a_scan_does_not_lose_a_broken_slice_in_silence(
    tmp_path: Path, left: int, name: str
) -> None:
    files = save_series(tmp_path / "scan", VOXELS)
    broken = files[0].rename(tmp_path / "scan" / name)
    broken.write_bytes(broken.read_bytes()[:left])
    with pytest.raises(FormatError, match=f"{name} is damaged"):
        read_image(tmp_path / "scan")
    with pytest.raises(FormatError, match=f"{name} is damaged"):
        read_image(files[1])


def test_a_slice_that_ends_anywhere_in_its_header_is_missed(tmp_path: Path) -> None:
    files = save_series(tmp_path / "scan", VOXELS)
    raw = files[1].read_bytes()
    places = element_places(raw)
    assert len(places) > 30
    # In the middle of what says of which kind it is, too.
    sop_class = raw.index(b"\x08\x00\x16\x00UI")
    for place in (*places, *range(sop_class, sop_class + 40)):
        files[1].write_bytes(raw[:place])
        for path in (tmp_path / "scan", files[0], files[1]):
            with pytest.raises(FormatError, match=f"{files[1].name} is damaged"):
                read_image(path)


def test_what_only_begins_like_dicom_does_not_spoil_a_folder(tmp_path: Path) -> None:
    save_series(tmp_path, VOXELS)
    (tmp_path / "index").write_bytes(bytes((2, 0, 0, 0)) + bytes(range(256)))
    assert read_image(tmp_path).array.shape == (1, *VOXELS.shape)
