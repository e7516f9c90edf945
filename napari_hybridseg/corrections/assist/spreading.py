"""How far what a stroke says spreads, and how strongly.

A thin stroke inside an error spreads in every direction, farther the deeper it lies. A stroke that
is painted up to the border of what already is right has shown how wide the error is in its slice:
that slice stays as it was painted, and the slices beside it follow more cautiously.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hybridseg.corrections.assist.options import RepairOptions, Spacing
from napari_hybridseg.corrections.boxes import Box, grown, start_of
from napari_hybridseg.older_python import zip

# The part of a stroke that lies on the border where somebody painted a thin error. A wide stroke in
# a large error has less of it there and spreads as a scribble does: that took fewer strokes.
_TOUCHING = 0.15
_FARTHEST = 1.4  # times the reach: next to nothing is left of a shift there


def spread(
    seeds: NDArray[np.integer],
    agreeing: NDArray[np.bool_],
    logit: NDArray[np.float32],
    grey: NDArray[np.float32],
    spacing: Spacing,
    options: RepairOptions,
) -> NDArray[np.float32]:
    """Say how much the log odds grow at every voxel, so that they are for it where strokes are.

    Parameters
    ----------
    seeds : ndarray
        Shape (N, 3), the strokes' voxels (Z, Y, X).
    agreeing : ndarray
        Shape (Z, Y, X): what already is as the strokes say.
    logit : ndarray
        Shape (Z, Y, X): the log odds of what they say.
    grey : ndarray
        Shape (Z, Y, X): the image, scaled so that 1 is a clear edge.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    options : RepairOptions
        How strokes spread.
    """
    from napari_hybridseg.corrections.assist.geodesic import geodesic_reach

    if not len(seeds):
        return np.zeros_like(grey)
    depth = np.full(len(seeds), options.margin_mm / 3, np.float32)  # an organ that is not there
    near = _around(seeds, options.margin_mm, agreeing.shape, spacing)
    if agreeing[near].any():
        depth[:] = _depths(seeds - np.array(start_of(near)), agreeing[near], spacing)
    reach = np.clip(options.spread_mm + options.reach * depth, min(spacing), options.margin_mm)
    against = np.maximum(-logit[tuple(seeds.T)], 0.0)
    part, painted = _parts(seeds, agreeing)
    total = np.zeros_like(grey)
    for which, gain in ((painted, options.painted_gain), (~painted, options.gain)):
        if not which.any():
            continue
        distance, strength = geodesic_reach(
            grey,
            seeds[which],
            reach[which],
            np.float32(gain) * against[which],
            spacing,
            options.edges,
            _FARTHEST,
        )
        reached = strength > 0
        shift = np.zeros_like(grey)  # level near by, then steep
        shift[reached] = np.exp(np.float32(-2.0) * distance[reached] ** 4) * strength[reached]
        if which is painted:
            _contain(shift, seeds[which], part[which], float(reach[which].max()), spacing)
        np.maximum(total, shift, out=total)
    return total


def _depths(
    seeds: NDArray[np.integer], agreeing: NDArray[np.bool_], spacing: Spacing
) -> NDArray[np.float64]:
    """Give every seed's way to the nearest voxel that agrees, in millimetres.

    A distance transform would find it for every voxel of the region, and take as long.
    """
    # the nearest one has a face towards the seed, on which something else lies
    border = np.zeros_like(agreeing)
    for axis in range(3):
        one, other = (
            tuple(part if axis == a else slice(None) for a in range(3))
            for part in (slice(1, None), slice(None, -1))
        )
        changes = agreeing[one] != agreeing[other]
        border[one] |= changes
        border[other] |= changes
    edge = np.asarray(spacing)
    away = np.zeros(len(seeds))
    wrong = ~agreeing[tuple(seeds.T)]
    if wrong.any():
        tree = cKDTree(
            np.argwhere(border & agreeing) * edge, balanced_tree=False, compact_nodes=False
        )
        away[wrong] = tree.query(seeds[wrong] * edge)[0]
    return away


def _contain(
    shift: NDArray[np.float32],
    seeds: NDArray[np.integer],
    part: NDArray[np.intp],
    reach_mm: float,
    spacing: Spacing,
) -> None:
    """Leave the slice in which somebody painted as they painted it; the others follow."""
    under = shift[tuple(seeds.T)].copy()
    z, y, x = (int(np.ceil(_FARTHEST * reach_mm / edge)) for edge in spacing)
    for number in np.unique(part):
        mine = seeds[part == number]
        flat = np.flatnonzero(np.ptp(mine, axis=0) == 0)
        if len(flat) == 1:  # a straight line lies in more than one slice
            margin = [0 if axis == flat[0] else more for axis, more in enumerate((z, y, x))]
            low, high = mine.min(axis=0), mine.max(axis=0) + 1
            start = np.maximum(low - margin, 0)
            shift[tuple(slice(*ends) for ends in zip(start, high + margin, strict=True))] = 0
    shift[tuple(seeds.T)] = under


def _parts(
    seeds: NDArray[np.integer], agreeing: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Give each seed's stroke, and whether that fills an error up to its border.

    Whoever paints up to the border has shown how wide the error is in that slice.
    """
    low = seeds.min(axis=0)
    drawn = np.zeros(seeds.max(axis=0) - low + 1, bool)
    at = tuple((seeds - low).T)
    drawn[at] = True
    part = ndimage.label(drawn, structure=np.ones((3, 3, 3), bool))[0][at]
    last = np.array(agreeing.shape) - 1
    beside = [
        agreeing[tuple(np.clip(seeds + np.subtract(offset, 1), 0, last).T)]
        for offset in np.ndindex(3, 3, 3)
    ]
    share = np.bincount(part, np.any(beside, axis=0)) / np.maximum(np.bincount(part), 1)
    return part, share[part] >= _TOUCHING


def _around(seeds: NDArray[np.integer], mm: float, shape: tuple[int, ...], spacing: Spacing) -> Box:
    """Give the box that holds everything within millimetres of the seeds."""
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    dz, dy, dx = (int(np.ceil(mm / edge)) for edge in spacing)
    return grown((z, y, x), (dz, dy, dx), shape)
