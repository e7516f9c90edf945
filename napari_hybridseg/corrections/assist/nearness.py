"""How near every voxel of a label map is to a border, where that is near at all.

A distance transform of the whole array would find every distance and pay for it; here each voxel at
a border tells the few voxels around it, so the cost is that of the borders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.compiled import compiled


def border_nearness(
    index: NDArray[np.integer],
    count: int,
    spacing: tuple[float, float, float],
    farthest_mm: float,
) -> NDArray[np.float32]:
    """Give every label's distance from its border in millimetres, negative outside.

    Parameters
    ----------
    index : ndarray
        Shape (Z, Y, X), numbers from 0 to ``count`` - 1.
    count : int
        How many labels there are.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    farthest_mm : float
        What is farther away counts as this.

    Returns
    -------
    ndarray
        Shape (count, Z, Y, X): the distance to the nearest voxel that is another label, or, less
        than 0, to the nearest one that is this label.
    """
    near = np.full((count, *index.shape), -farthest_mm, np.float32)
    np.put_along_axis(near, index[None].astype(np.intp), np.float32(farthest_mm), axis=0)
    reach = [int(farthest_mm / edge) for edge in spacing]
    offsets = np.argwhere(np.ones([2 * n + 1 for n in reach], bool)) - reach
    lengths = np.sqrt(((offsets * np.asarray(spacing)) ** 2).sum(axis=1)).astype(np.float32)
    within = (lengths < farthest_mm) & (lengths > 0)
    offsets, lengths = offsets[within], lengths[within]
    _tell_around(np.ascontiguousarray(index, np.int64), near, offsets.astype(np.int64), lengths)
    return near


@compiled()
def _tell_around(index: Any, near: Any, offsets: Any, lengths: Any) -> None:
    depth, height, width = index.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                own = index[z, y, x]
                # the nearest voxel of another label always has a face on something else
                if not (
                    (z > 0 and index[z - 1, y, x] != own)
                    or (z + 1 < depth and index[z + 1, y, x] != own)
                    or (y > 0 and index[z, y - 1, x] != own)
                    or (y + 1 < height and index[z, y + 1, x] != own)
                    or (x > 0 and index[z, y, x - 1] != own)
                    or (x + 1 < width and index[z, y, x + 1] != own)
                ):
                    continue
                for n in range(len(offsets)):
                    a, b, c = z + offsets[n, 0], y + offsets[n, 1], x + offsets[n, 2]
                    if a < 0 or b < 0 or c < 0 or a >= depth or b >= height or c >= width:
                        continue
                    other = index[a, b, c]
                    if other != own:
                        near[other, a, b, c] = min(near[other, a, b, c], lengths[n])
                        near[own, a, b, c] = max(near[own, a, b, c], -lengths[n])
