"""Regions of high entropy, in pieces that one look can take in."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hybridseg.explain.products import HeatMap, RegionTable, UncertainRegion
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, smallest_label_type

_MOST_REGIONS = 65535


def uncertain_regions(
    heat: HeatMap, threshold: float, smallest_ml: float = 0.0, apart_mm: float = inf
) -> tuple[RegionTable, LabelMap]:
    """Find where a map of entropy is above a threshold, as a list of regions.

    Voxels above the threshold that touch (26 neighbours) are one region. As the border of an
    organ is often uncertain all around, a region longer than ``apart_mm`` is split: what lies
    within ``apart_mm`` of its most uncertain voxel is the first part, what lies within ``apart_mm``
    of the most uncertain voxel of the rest the second, and so on.

    Parameters
    ----------
    heat : HeatMap
        Entropy in nats.
    threshold : float
        In nats.
    smallest_ml : float
        Regions and parts below this volume are left out.
    apart_mm : float
        How far the peaks of one connected region are apart at least; infinite for no splitting.

    Returns
    -------
    table : RegionTable
        Ordered by entropy summed over the region, the largest first.
    labels : LabelMap
        The regions, numbered in that order.
    """
    places = np.flatnonzero(heat.array > threshold)
    index = np.stack(np.unravel_index(places, heat.array.shape), axis=1)
    doubt = heat.array.ravel()[places].astype(np.float64)
    millimetres = heat.geometry.world(index.astype(np.float64))
    number = _split(_connected(heat.array > threshold)[places], doubt, millimetres, apart_mm)
    count = int(number.max(initial=0))
    size = np.bincount(number, minlength=count + 1) * heat.geometry.voxel_volume_ml
    total = np.bincount(number, weights=doubt, minlength=count + 1)
    order = [n for n in np.argsort(-total, kind="stable") if n > 0 and size[n] >= smallest_ml]
    order = order[:_MOST_REGIONS]
    by_region = np.lexsort((-doubt, number))
    first = np.searchsorted(number[by_region], np.arange(count + 1))
    middle = [np.bincount(number, weights=doubt * a, minlength=count + 1) for a in millimetres.T]
    regions, rank_of = [], np.zeros(count + 1, dtype=smallest_label_type(len(order)))
    for rank, old in enumerate(order, 1):
        rank_of[old] = rank
        regions.append(
            UncertainRegion(
                number=rank,
                centroid_mm=_point([axis[old] / total[old] for axis in middle]),
                peak_mm=_point(millimetres[by_region[first[old]]]),
                size_ml=float(size[old]),
                mean_entropy=float(total[old] * heat.geometry.voxel_volume_ml / size[old]),
            )
        )
    array = np.zeros(heat.array.size, dtype=smallest_label_type(len(order)))
    array[places] = rank_of[number]
    names = {region.number: f"uncertain {region.number}" for region in regions}
    scheme = LabelScheme.from_names(names, "uncertain regions")
    labels = LabelMap(
        heat.geometry,
        heat.source,
        array.reshape(heat.array.shape),
        scheme=scheme,
        name="uncertain regions",
    )
    return RegionTable(tuple(regions), threshold), labels


def _connected(above: NDArray[np.bool_]) -> NDArray[np.int32]:
    found, _ = ndimage.label(above, structure=np.ones((3, 3, 3)), output=np.int32)
    return np.asarray(found).ravel()


def _split(
    region: NDArray[np.int32],
    doubt: NDArray[np.float64],
    millimetres: NDArray[np.float64],
    apart_mm: float,
) -> NDArray[np.int64]:
    """Give the part of each voxel, from 1; a region that is short is one part."""
    parts = np.zeros(len(region), dtype=np.int64)
    by_region = np.lexsort((-doubt, region))
    begins = np.flatnonzero(np.diff(region[by_region], prepend=0))
    count = 0
    for mine in np.split(by_region, begins[1:]) if len(begins) else ():
        extent = np.ptp(millimetres[mine], axis=0)
        if np.linalg.norm(extent) < apart_mm:
            parts[mine] = count + 1
            count += 1
            continue
        for part in _balls(millimetres[mine], apart_mm):
            count += 1
            parts[mine[part]] = count
    return parts


def _balls(millimetres: NDArray[np.float64], radius: float) -> Iterator[NDArray[np.intp]]:
    """Take what is near the first point, then what is near the first of the rest, until all are."""
    tree = cKDTree(millimetres)
    is_left = np.ones(len(millimetres), dtype=bool)
    place = 0
    while is_left[place:].any():
        place += int(is_left[place:].argmax())
        near = np.asarray(tree.query_ball_point(millimetres[place], radius))
        yield near[is_left[near]]
        is_left[near] = False


def _point(values: object) -> tuple[float, float, float]:
    x, y, z = np.asarray(values, dtype=np.float64)
    return float(x), float(y), float(z)
