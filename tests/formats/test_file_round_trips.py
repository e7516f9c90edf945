"""What is written comes back: the same voxels, the same grid, in other libraries too."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_hybridseg.formats import read_image, writable_extensions, write_image
from napari_hybridseg.geometry import Geometry

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
TOLERANCE = {".nii": 1e-5, ".nii.gz": 1e-5}
TURNS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@st.composite
def grids(draw: st.DrawFn) -> Geometry:
    """Any of the 48 axis orders and directions, then any small or large rotation."""
    turn = draw(st.sampled_from(TURNS))
    angles = draw(st.tuples(*[st.just(0.0) | st.floats(-180, 180)] * 3))
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ turn
    return Geometry(
        size=draw(st.tuples(*[st.integers(1, 5)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.02, 20)] * 3)),
        origin=draw(st.tuples(*[st.floats(-2000, 2000)] * 3)),
        direction=tuple(direction.ravel()),
    )


def voxels(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype[0] == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@settings(max_examples=60, deadline=None)
@given(
    geometry=grids(),
    dtype=st.sampled_from(DTYPES),
    channels=st.integers(1, 3),
    seed=st.integers(0, 9999),
)
def test_any_image_comes_back(
    ending: str, geometry: Geometry, dtype: str, channels: int, seed: int
) -> None:
    array = voxels((channels, *geometry.shape), dtype, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"bild ü{ending}"
        write_image(path, array, geometry)
        image = read_image(path)
        affine, referee = (_by_nibabel if ".nii" in ending else _by_sitk)(path)
        assert [p.name for p in Path(folder).iterdir()] == [path.name]
    assert image.array.dtype == array.dtype
    np.testing.assert_array_equal(image.array, array)
    _assert_same_grid(image.geometry.affine, geometry, TOLERANCE.get(ending, 1e-12))
    _assert_same_grid(affine, geometry, TOLERANCE.get(ending, 1e-6))
    np.testing.assert_array_equal(referee, array)


@settings(max_examples=40, deadline=None)
@given(geometry=grids(), dtype=st.sampled_from(["u1", "i2", "i8", "u8"]), seed=st.integers(0, 99))
def test_any_label_map_comes_back_from_a_segmentation(
    geometry: Geometry, dtype: str, seed: int
) -> None:
    array = np.random.default_rng(seed).choice([0, 1, 7, 120], geometry.shape).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.seg.nrrd"
        write_image(path, array, geometry)
        image = read_image(path)
        affine, referee = _by_sitk(path)
    np.testing.assert_array_equal(image.array[0], array)
    np.testing.assert_array_equal(referee[0], array)
    assert image.scheme is not None
    assert set(image.scheme.ids) == set(np.unique(array)) - {0}
    _assert_same_grid(image.geometry.affine, geometry, 1e-12)
    _assert_same_grid(affine, geometry, 1e-6)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
@settings(max_examples=40, deadline=None)
@given(geometry=grids(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 9999))
def test_files_that_simpleitk_wrote_are_read(
    ending: str, geometry: Geometry, dtype: str, seed: int
) -> None:
    array = voxels(geometry.shape, dtype, seed)
    stored = sitk.GetImageFromArray(array)
    stored.SetOrigin(geometry.origin)
    stored.SetSpacing(geometry.spacing)
    stored.SetDirection(geometry.direction)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        sitk.WriteImage(stored, str(path), useCompression=bool(seed % 2))
        image = read_image(path)
    np.testing.assert_array_equal(image.array[0], array)
    # ITK prints MetaImage headers with few digits.
    _assert_same_grid(image.geometry.affine, geometry, 1e-4 if ending == ".nii.gz" else 1e-5)


def test_every_writable_ending_is_tested() -> None:
    assert set(writable_extensions()) == {".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha"}


def test_a_grid_comes_back_number_for_number_from_nrrd_and_mha(tmp_path: Path) -> None:
    geometry = Geometry((4, 3, 2), (0.7, 0.7, 2.3), (-1.1, 2.2, 3.3), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    for name in ("x.nrrd", "x.mha"):
        write_image(tmp_path / name, np.zeros(geometry.shape, np.int16), geometry)
        assert read_image(tmp_path / name).geometry == geometry


def test_an_array_that_is_a_view_is_written_in_its_own_order(tmp_path: Path) -> None:
    geometry = Geometry((4, 3, 2), (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    array = np.arange(24, dtype=">i2").reshape(4, 3, 2).transpose(2, 1, 0)[:, ::-1]
    for ending in (".nii.gz", ".nrrd", ".mha"):
        write_image(tmp_path / f"x{ending}", array, geometry)
        np.testing.assert_array_equal(read_image(tmp_path / f"x{ending}").array[0], array)


def _assert_same_grid(affine: np.ndarray, geometry: Geometry, tolerance: float) -> None:
    """Compare where the corners are, relative to the largest coordinate or extent there is."""
    expected = geometry.affine
    reach = np.abs(expected[:3, 3]).max() + (np.array(geometry.size) * geometry.spacing).sum()
    ends = np.array([[0, 0, 0, 1], [*(np.array(geometry.size) - 1), 1]])
    np.testing.assert_allclose(ends @ affine.T, ends @ expected.T, rtol=0, atol=tolerance * reach)
    np.testing.assert_allclose(
        affine[:3, :3], expected[:3, :3], rtol=0, atol=tolerance * max(geometry.spacing)
    )


def _by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stored = nibabel.load(path)
    stored.header.check_fix(logger=None, error_level=20)
    data = np.asanyarray(stored.dataobj)
    return RAS_TO_LPS @ stored.affine, data.reshape(*data.shape[:3], -1).transpose(3, 2, 1, 0)


def _by_sitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stored = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(stored.GetDirection(), (3, 3)) * stored.GetSpacing()
    affine[:3, 3] = stored.GetOrigin()
    array = sitk.GetArrayFromImage(stored)
    return affine, array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)
