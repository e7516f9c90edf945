"""Memory that is taken page by page as it is written, and given back at once."""

from __future__ import annotations

import mmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# below this, a mapping of its own costs more than it saves
_SMALL_BYTES = 2**16
# as large as processors of today have them
HUGE_BYTES = 2**21
# the last one may take this part of an array more than was asked for
_MOST_BEYOND = 0.02


def own_pages(shape: int | tuple[int, ...], kind: DTypeLike, *, huge: bool = False) -> NDArray[Any]:
    """Make an array of zeros in pages of its own.

    Arrays of many sizes that come and go leave holes in the heap, and what is freed beside a
    hole stays with the process; here it goes back with the array. And ``numpy.zeros`` asks for
    huge pages, so that a few rows of every plane take the memory of the whole: here only
    ``huge`` does, for what is written as a whole.
    """
    size = shape if isinstance(shape, int) else prod(shape)
    count = size * np.dtype(kind).itemsize
    if count < _SMALL_BYTES:
        return np.zeros(shape, dtype=kind)
    offset = 0
    if huge and count >= HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        pages = _pages(count + 2 * HUGE_BYTES)
        # a huge page begins at a multiple of its size
        offset = -np.frombuffer(pages, dtype=np.uint8).ctypes.data % HUGE_BYTES
        beyond = -count % HUGE_BYTES
        end = count + beyond if beyond <= count * _MOST_BEYOND else count - count % HUGE_BYTES
        pages.madvise(mmap.MADV_HUGEPAGE, offset, end)
    else:
        pages = _pages(count)
    return np.frombuffer(pages, dtype=kind, count=size, offset=offset).reshape(shape)


def _pages(count: int) -> mmap.mmap:
    if hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, count)
