"""How far voxels are from strokes, when edges of the image make the way longer.

Dijkstra's shortest ways over the 26 neighbours, as in geodesic image segmentation (Criminisi et
al., ECCV 2008), but only as far as a stroke can count: the cost is that of the voxels reached, not
of the region. A step costs its length in millimetres, more where the image changes, and is measured
in units of the reach of the stroke that it comes from, so that a stroke in a large error goes
farther than one in a small.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.compiled import compiled

_NEIGHBOURS = np.array(
    [
        (dz, dy, dx)
        for dz in (-1, 0, 1)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dz, dy, dx) != (0, 0, 0)
    ],
    dtype=np.int64,
)


def geodesic_reach(
    image: NDArray[np.float32],
    seeds: NDArray[np.integer],
    reach_mm: NDArray[np.float32],
    strengths: NDArray[np.float32],
    spacing: tuple[float, float, float],
    edge_mm: float,
    farthest: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give every voxel's distance to its nearest seed, in units of that seed's reach.

    The second array is that seed's strength, 0 where no seed reaches.

    Parameters
    ----------
    image : ndarray
        Shape (Z, Y, X), scaled so that 1 is a clear edge.
    seeds : ndarray
        Shape (N, 3), voxels (Z, Y, X).
    reach_mm : ndarray
        Shape (N,), millimetres.
    strengths : ndarray
        Shape (N,), handed on to the voxels that a seed reaches.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    edge_mm : float
        How many millimetres of way a clear edge adds.
    farthest : float
        Where to stop; what is farther away is infinitely far.
    """
    distance = np.full(image.shape, np.inf, dtype=np.float32)
    strength = np.zeros(image.shape, dtype=np.float32)
    lengths = np.sqrt(((_NEIGHBOURS * np.asarray(spacing)) ** 2).sum(axis=1)).astype(np.float32)
    _spread(
        np.ascontiguousarray(image, np.float32),
        distance,
        strength,
        np.ascontiguousarray(seeds, np.int64),
        (1 / np.asarray(reach_mm, np.float32)).astype(np.float32),
        np.ascontiguousarray(strengths, np.float32),
        lengths,
        np.float32(edge_mm),
        np.float32(farthest),
        _NEIGHBOURS,
    )
    return distance, strength


@compiled()
def _spread(
    image: Any,
    distance: Any,
    strength: Any,
    seeds: Any,
    paces: Any,
    strengths: Any,
    lengths: Any,
    edge_mm: Any,
    farthest: Any,
    offsets: Any,
) -> None:
    depth, height, width = image.shape
    pace = np.zeros(image.shape, np.float32)
    heap = [(np.float32(0.0), np.int64(0))]
    heap.pop()
    for n in range(len(seeds)):
        z, y, x = seeds[n]
        # of strokes on one voxel, the one that reaches farther counts
        if distance[z, y, x] > 0 or paces[n] < pace[z, y, x]:
            distance[z, y, x] = 0
            pace[z, y, x] = paces[n]
            strength[z, y, x] = strengths[n]
            heapq.heappush(heap, (np.float32(0.0), (z * height + y) * width + x))
    while len(heap) > 0:
        so_far, place = heapq.heappop(heap)
        z, rest = divmod(place, height * width)
        y, x = divmod(rest, width)
        if so_far > distance[z, y, x]:
            continue
        here, own = image[z, y, x], pace[z, y, x]
        for n in range(len(offsets)):
            a, b, c = z + offsets[n, 0], y + offsets[n, 1], x + offsets[n, 2]
            if a < 0 or b < 0 or c < 0 or a >= depth or b >= height or c >= width:
                continue
            found = so_far + (lengths[n] + edge_mm * abs(here - image[a, b, c])) * own
            if found < distance[a, b, c] and found <= farthest:
                distance[a, b, c] = found
                pace[a, b, c] = own
                strength[a, b, c] = strength[z, y, x]
                heapq.heappush(heap, (np.float32(found), (a * height + b) * width + c))
