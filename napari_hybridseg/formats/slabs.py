"""Voxels on their way into a file, slice by slice, so that no second copy of a volume is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

COMPRESSION = 3
"""zlib level of all writers: within 3 % of level 6's size on CT in 40 % of its time."""


def slabs(array: NDArray[np.generic], *, interleaved: bool = False) -> Iterator[bytes]:
    """Yield an array's little-endian bytes, x fastest.

    Parameters
    ----------
    array : ndarray
        Shape (C, Z, Y, X).
    interleaved : bool
        Whether a voxel's channels stand together, else one channel follows the other.
    """
    little = array.dtype.newbyteorder("<")
    if interleaved:
        for index in range(array.shape[1]):
            yield np.moveaxis(array[:, index], 0, -1).astype(little, copy=False).tobytes()
    else:
        for channel in array:
            for plane in channel:
                yield plane.astype(little, copy=False).tobytes()
