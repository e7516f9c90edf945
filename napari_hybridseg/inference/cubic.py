"""Resampling as nnU-Net does it, so that its weights see what they were trained on.

Source: Isensee et al., Nature Methods 2021 (doi 10.1038/s41592-020-01008-z), "Resampling": third
order splines; a volume whose slices are more than three times as thick as their pixels is
interpolated slice by slice, and across slices the nearest one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

THICK = 3.0


def resample_cubic(
    array: NDArray[np.float32],
    shape: tuple[int, int, int],
    own: Sequence[float],
    wished: Sequence[float],
) -> NDArray[np.float32]:
    """Interpolate (C, Z, Y, X) onto another number of voxels over the same box.

    Parameters
    ----------
    array : ndarray
        Shape (C, Z, Y, X).
    shape : tuple of int
        Voxels (Z, Y, X) of the result.
    own, wished : sequence of float
        Millimetres between voxels along those axes, before and after; they decide whether slices
        are thick.
    """
    if array.shape[1:] == tuple(shape):
        return array
    thick = thick_axis(own, wished)
    return np.stack([_resample(channel, shape, thick) for channel in array])


def thick_axis(own: Sequence[float], wished: Sequence[float]) -> int | None:
    """Give the one axis along which slices are thick, before or else after resampling."""
    for spacing in (own, wished):
        if max(spacing) / min(spacing) > THICK:
            longest = [axis for axis, step in enumerate(spacing) if step == max(spacing)]
            return longest[0] if len(longest) == 1 else None
    return None


def _resample(
    channel: NDArray[np.float32], shape: tuple[int, int, int], thick: int | None
) -> NDArray[np.float32]:
    values = channel.astype(np.float64)
    if thick is None:
        return _resize(values, shape).astype(np.float32)
    plane = tuple(n for axis, n in enumerate(shape) if axis != thick)
    slices = np.moveaxis(values, thick, 0)
    nearest = (np.arange(shape[thick]) + 0.5) * len(slices) / shape[thick]
    resized = np.stack([_resize(one, plane) for one in slices])
    return np.moveaxis(resized[nearest.astype(np.intp)], 0, thick).astype(np.float32)


def _resize(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return resize(values, shape, order=3, mode="edge", anti_aliasing=False)
