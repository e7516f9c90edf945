"""Memory that is taken page by page as it is written, and given back at once."""

from __future__ import annotations

import mmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# below this, a mapping of its own costs more than it saves
_SMALL_BYTES = 2**16


def own_pages(shape: int | tuple[int, ...], kind: DTypeLike, *, huge: bool = False) -> NDArray[Any]:
    """Make an array of zeros in pages of its own.

    Arrays of many sizes that come and go leave holes in the heap, and what is freed beside a
    hole stays with the process; here it goes back with the array. And ``numpy.zeros`` asks for
    huge pages, so that a few rows of every plane take the memory of the whole: here only
    ``huge`` does, for what is written as a whole.
    """
    size = shape if isinstance(shape, int) else prod(shape)
    if size * np.dtype(kind).itemsize < _SMALL_BYTES:
        return np.zeros(shape, dtype=kind)
    pages = _pages(size * np.dtype(kind).itemsize)
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype=kind).reshape(shape)


def _pages(count: int) -> mmap.mmap:
    if hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, count)
