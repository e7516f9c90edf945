"""Memory that serves one array after another, page by page.

A page of memory that is touched for the first time costs several times as much as adding up what
comes to lie in it: the system clears it, and on a virtual machine fetches it from its host first.
Arrays of many sizes leave much of it between them. Here the pages of an array that is done with
are moved under the next, whatever its size; nothing is copied, only addresses change.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.inference.pages import HUGE_BYTES, own_pages

# memory that is this much larger than what is asked for is taken as it is
_ROOM = 1.15
# what mremap(2) is told: go where the last argument says, and let nothing else take the old place
_MOVE, _THERE, _KEEP_PLACE = 1, 2, 4
_FAILED = ctypes.c_void_p(-1).value
# a page that was moved is a mapping of its own, and a process may have 65,530 of these in all
_MOST_PAGES = 2**13

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Piece:
    """An array of its own pages, and how many of its whole huge pages are still there."""

    flat: NDArray[np.float32]
    left: int

    @property
    def begin(self) -> int:
        return int(self.flat.ctypes.data)

    @property
    def whole(self) -> int:
        return self.flat.nbytes // HUGE_BYTES

    @property
    def held(self) -> int:
        """Bytes that it takes."""
        return self.flat.nbytes - (self.whole - self.left) * HUGE_BYTES


class PagePool:
    """Makes float32 arrays that hold anything, out of those that were given back.

    No more is held than was ever in use at once.
    """

    def __init__(self) -> None:
        self._spare: list[_Piece] = []
        self._given: dict[int, _Piece] = {}
        self._used = self._most_used = 0  # bytes

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Make an array."""
        size = prod(shape)
        piece = self._fitting(size) or self._made(size)
        self._given[piece.begin] = piece
        return piece.flat[:size].reshape(shape)

    def give_back(self, array: NDArray[np.float32]) -> None:
        """Let an array's memory serve the next, if it came from here.

        Nobody may look at it any more.
        """
        piece = self._given.pop(int(array.ctypes.data), None)
        if piece is not None:
            self._used -= piece.held
            self._spare.append(piece)

    def clear(self) -> None:
        """Let go of everything."""
        self._spare.clear()
        self._given.clear()

    def _fitting(self, size: int) -> _Piece | None:
        for piece in reversed(self._spare):
            if piece.left == piece.whole and size <= piece.flat.size <= size * _ROOM:
                self._spare.remove(piece)
                self._used += piece.held
                return piece
        return None

    def _made(self, size: int) -> _Piece:
        flat = own_pages(size, np.float32, huge=True)
        piece = _Piece(flat, flat.nbytes // HUGE_BYTES)
        self._move_pages_under(piece)
        self._used += piece.held
        self._most_used = max(self._most_used, self._used)
        # what is spare makes room
        while self._spare and self._used + sum(p.held for p in self._spare) > self._most_used:
            del self._spare[0]
        return piece

    def _move_pages_under(self, piece: _Piece) -> None:
        """Give it the huge pages of those that are spare, as far as they go."""
        there = piece.begin
        if there % HUGE_BYTES or self._used > _MOST_PAGES * HUGE_BYTES:
            return
        for _ in range(piece.whole):
            giver = next((p for p in self._spare if p.left), None)
            if giver is None or not _moved(giver.begin + (giver.left - 1) * HUGE_BYTES, there):
                return
            there += HUGE_BYTES
            giver.left -= 1
            if not giver.left:
                self._spare.remove(giver)


def _moved(here: int, there: int) -> bool:
    """Move a huge page to another address; say whether it could be done.

    Both places stay their owners': who looks at the old one finds zeros.
    """
    move = _mremap()
    if move is None:
        return False
    if move(here, HUGE_BYTES, HUGE_BYTES, _MOVE | _THERE | _KEEP_PLACE, there) == _FAILED:
        logger.debug("a page could not be moved: %s", os.strerror(ctypes.get_errno()))
        return False
    return True


@cache
def _mremap() -> Any:
    """Give the system's function, or nothing where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "mremap", None)
    if function is not None:
        function.restype = ctypes.c_void_p
        function.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p,
        ]  # fmt: skip
    return function
