"""Bringing a volume into the form that a network was trained on, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from torch.nn import functional

from napari_hybridseg.counting import counted
from napari_hybridseg.geometry import ArrayType, Geometry, Reorientation
from napari_hybridseg.inference.cubic import resample_cubic
from napari_hybridseg.inference.grids import WHOLE, Box, orientation_change, working_grids
from napari_hybridseg.model_card import (
    AsIs,
    ChannelIntensity,
    ClipRescale,
    ClipStandardise,
    Intensity,
    PercentileRescale,
    PercentileStandardise,
    PerChannel,
    Preprocessing,
)
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume, VolumeError

_SMALLEST_SPREAD = 1e-8


@dataclass(frozen=True)
class Prepared:
    """A volume as the network sees it.

    Attributes
    ----------
    array : ndarray
        Shape (C, Z, Y, X), float32, normalised, on ``working``.
    working : Geometry
        The network's grid.
    oriented : Geometry
        The volume's own voxels in the network's orientation.
    change : Reorientation
        From the volume's canonical orientation to the network's.
    notes : tuple of str
        What had to be put right.
    box : tuple of slice
        The part (Z, Y, X) of ``oriented`` that ``working`` covers.
    """

    array: NDArray[np.float32]
    working: Geometry
    oriented: Geometry
    change: Reorientation
    notes: tuple[str, ...] = ()
    box: Box = WHOLE


def prepare(volume: Volume, preprocessing: Preprocessing) -> Prepared:
    """Reorient, put right, crop, resample and normalise a volume.

    Raises
    ------
    VolumeError
        If not one voxel of a channel holds a number.
    """
    change = orientation_change(volume, preprocessing.orientation, preprocessing.axes)
    array, notes = finite_values(change.apply(volume.array), volume.name)
    box, mask = WHOLE, None
    if preprocessing.crop_to_nonzero:
        box, mask = nonzero_box(array)
        array = array[:, box[0], box[1], box[2]]
    grids = working_grids(volume, preprocessing, box)
    own, working, wished = grids.own, grids.working, grids.wished
    if preprocessing.interpolation == "cubic":
        array = normalise(array, preprocessing.intensity, mask)
        array = resample_cubic(array, working.shape, own.spacing_zyx, wished[::-1])
    else:
        array = resample_linear(array, working.shape)
        array = normalise(array, preprocessing.intensity)
    return Prepared(array, working, grids.oriented, change, notes, box)


def nonzero_box(array: NDArray[np.float32]) -> tuple[Box, NDArray[np.bool_]]:
    """Find the smallest box of (C, Z, Y, X) that holds every voxel that is not 0.

    Returns
    -------
    tuple
        The box, and the voxels in it, shape (Z, Y, X), that are not 0 in some channel or are
        surrounded by such voxels. A volume of zeros gives the whole grid.
    """
    found = (array != 0).any(axis=0)
    if not found.any():
        return WHOLE, ~found
    z, y, x = (
        np.flatnonzero(found.any(axis=tuple(other for other in range(3) if other != axis)))
        for axis in range(3)
    )
    box = (_span(z), _span(y), _span(x))
    return box, binary_fill_holes(found)[box]


def _span(places: NDArray[np.intp]) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1)


def finite_values(
    array: NDArray[np.generic], name: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Give (C, Z, Y, X) as float32, with NaN and infinity replaced by their channel's lowest."""
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and replaced
        values = np.array(array, dtype=np.float32, order="C")
    wrong = ~np.isfinite(values)
    count = int(wrong.sum())
    if count == 0:
        return values, ()
    for channel, bad in zip(values, wrong, strict=True):
        if bad.all():
            what = name if len(values) == 1 else f"A channel of {name}"
            raise VolumeError(f"{what} holds no numbers: every voxel is NaN or infinite.")
        channel[bad] = channel[~bad].min()
    return values, (
        f"{counted(count, 'voxel')} of {name} {'is' if count == 1 else 'are'} NaN or infinite; for "
        "segmenting that counts as the lowest value.",
    )


def resample_linear(array: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Interpolate (C, Z, Y, X) onto another number of voxels over the same box."""
    if array.shape[1:] == tuple(shape):
        return array
    image = torch.from_numpy(array)[None]
    return functional.interpolate(image, size=shape, mode="trilinear")[0].numpy()


def resample_nearest(array: ArrayType, shape: tuple[int, int, int]) -> ArrayType:
    """Pick the nearest voxels of (Z, Y, X) for another number of voxels over the same box."""
    index = [
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(np.intp), old - 1)
        for n, old in zip(shape, array.shape, strict=True)
    ]
    return array[np.ix_(*index)]  # type: ignore[return-value]


def normalise(
    array: NDArray[np.float32], how: Intensity, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Apply a card's intensity normalisation to (C, Z, Y, X).

    ``mask`` is (Z, Y, X): the voxels that count as not 0 where that matters; when it is not
    given, each channel's own.
    """
    each = how.channels if isinstance(how, PerChannel) else (how,) * len(array)
    if len(each) != len(array):
        raise VolumeError(
            f"The checkpoint says how to treat {len(each)} channels, and the volume has "
            f"{len(array)}; choose a volume with {len(each)}."
        )
    return np.stack([_normalise(one, h, mask) for one, h in zip(array, each, strict=True)])


def _normalise(
    channel: NDArray[np.float32], how: ChannelIntensity, mask: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    if isinstance(how, AsIs):
        return channel
    if isinstance(how, ClipStandardise):
        return (np.clip(channel, how.low, how.high) - how.mean) / np.float32(how.std)
    if isinstance(how, ClipRescale):
        return _rescale(channel, how.low, how.high)
    if isinstance(how, PercentileRescale):
        low, high = np.percentile(channel, [how.low, how.high])
        return _rescale(channel, float(low), float(high))
    if isinstance(how, PercentileStandardise):
        clipped = np.clip(channel, *np.percentile(channel, [how.low, how.high]))
        return _standardise(clipped.astype(np.float32), clipped)
    if not how.nonzero_only:
        return _standardise(channel, channel)
    inside = channel != 0 if mask is None else mask
    return np.where(inside, _standardise(channel, channel[inside]), channel)


def _standardise(channel: NDArray[np.float32], counted: NDArray[np.float32]) -> NDArray[np.float32]:
    if counted.size == 0:
        return channel
    mean, spread = counted.mean(dtype=np.float64), counted.std(dtype=np.float64)
    return (channel - np.float32(mean)) / np.float32(max(spread, _SMALLEST_SPREAD))


def _rescale(array: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    width = max(high - low, _SMALLEST_SPREAD)
    return ((np.clip(array, low, high) - low) / width).astype(np.float32)
