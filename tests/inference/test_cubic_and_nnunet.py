"""The same arrays through nnU-Net's own functions."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hybridseg.inference.cubic import resample_cubic
from napari_hybridseg.inference.preprocess import nonzero_box

resampling = pytest.importorskip(
    "nnunetv2.preprocessing.resampling.default_resampling", reason="nnunetv2 is not installed"
)
cropping = pytest.importorskip("nnunetv2.preprocessing.cropping.cropping")

GRIDS = [
    ((20, 30, 26), (1, 1, 1), (0.7, 1.3, 1.1)),
    ((8, 40, 36), (5, 1, 1), (4, 1.2, 0.9)),
    ((8, 40, 36), (5, 1, 1), (5, 1.2, 0.9)),
    ((30, 9, 31), (0.8, 6, 0.8), (1, 4, 1)),
    ((20, 22, 24), (1, 1, 1), (1, 1, 4)),
    ((12, 40, 36), (0.24, 1.25, 1.25), (0.5, 1.0, 1.0)),
    ((12, 20, 18), (2.5, 0.7, 0.7), (2.5, 0.7, 0.7)),
]


@pytest.mark.parametrize(("shape", "own", "wished"), GRIDS)
def test_resampling_is_nnunets(shape, own, wished):
    array = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    target = resampling.compute_new_shape(shape, own, wished)
    expected = resampling.resample_data_or_seg_to_shape(
        array.copy(), target, own, wished, order=3, order_z=0, force_separate_z=None
    )
    ours = resample_cubic(array, tuple(int(n) for n in target), own, wished)
    np.testing.assert_array_equal(ours, expected)


def test_crop_is_nnunets():
    array = np.zeros((2, 10, 12, 14), dtype=np.float32)
    array[0, 2:7, 3:9, 4:10] = 1
    array[0, 4, 5, 6] = 0
    array[1, 3:8, 4:6, 5:7] = 2
    _, segmentation, box = cropping.crop_to_nonzero(array)
    ours, mask = nonzero_box(array)
    assert [[part.start, part.stop] for part in ours] == box
    np.testing.assert_array_equal(mask, segmentation[0] >= 0)
