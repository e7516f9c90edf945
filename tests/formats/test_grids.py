from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hybridseg.formats.grids import RawImage, settle
from napari_hybridseg.formats.stored import FormatError

SHEARED = np.array(
    [[0.9, 0.2, -0.1, 5.0], [0.1, -1.1, 0.4, -7.0], [-0.2, 0.1, 2.0, 11.0], [0, 0, 0, 1.0]]
)
SLOPE = np.array([3.0, -2.0, 1.5])


def positions(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World position of every voxel, shape (Z, Y, X, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)[..., ::-1]
    return index @ affine[:3, :3].T + affine[:3, 3]


def test_resampling_leaves_every_value_at_its_place() -> None:
    """Linear interpolation of a plane is exact, whatever the shear."""
    plane = positions((12, 14, 16), SHEARED) @ SLOPE
    image = settle(RawImage(plane[None], SHEARED), Path("x"), "resample")
    world = positions(image.geometry.shape, image.geometry.affine)
    back = np.linalg.inv(SHEARED)
    index = world @ back[:3, :3].T + back[:3, 3]
    # First and last slices count, to rounding; edges of slices are cut between voxels anyway.
    margin = np.array([1e-6, 1e-6, -1e-6])
    inside = ((index >= margin) & (index <= np.array([15, 13, 11]) - margin)).all(axis=-1)
    assert inside.sum() > 1500
    np.testing.assert_allclose(image.array[0][inside], (world @ SLOPE)[inside], atol=1e-9)
    corners = np.array([[0, 0, 0], [15, 13, 11]]) @ SHEARED[:3, :3].T + SHEARED[:3, 3]
    inside_grid = image.geometry.index(corners)
    assert (inside_grid >= -1e-6).all()
    assert (inside_grid <= np.array(image.geometry.shape) - 0.5).all()


def test_nearest_resampling_invents_no_label() -> None:
    labels = np.random.default_rng(0).choice([0, 3, 9], (1, 12, 14, 16)).astype(np.uint8)
    image = settle(RawImage(labels, SHEARED), Path("x"), "resample-nearest")
    assert image.array.dtype == np.uint8
    assert set(np.unique(image.array)) == {0, 3, 9}


def test_a_shear_is_refused_unless_told() -> None:
    with pytest.raises(FormatError, match=r"x is sheared: its axes are 1\d\.\d degrees"):
        settle(RawImage(np.zeros((1, 4, 4, 4)), SHEARED), Path("x"))


def test_a_shear_too_far_to_resample_is_refused() -> None:
    affine = np.eye(4)
    affine[0, 1] = 50.0
    with pytest.raises(FormatError, match="sheared too far"):
        settle(RawImage(np.zeros((1, 9, 9, 9)), affine), Path("x"), "resample")


def test_the_upper_corner_of_a_gantry_tilt_is_kept() -> None:
    """The grid reaches every voxel of the sheared one."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 0.5
    image = settle(RawImage(np.ones((1, 5, 6, 7)), affine), Path("x"), "resample")
    assert image.geometry.spacing == (1.0, 1.0, 2.0)
    assert image.geometry.size == (7, 8, 5)
