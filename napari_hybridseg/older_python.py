"""What Python 3.10 brought, for the Python 3.9 of 3D Slicer 5.8.

Modules take these names from here, so that doing without 3.9 one day is deleting lines.
"""

from __future__ import annotations

import builtins
import importlib.metadata
import itertools
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["entry_points", "pairwise", "zip"]

T = TypeVar("T")

_ENDED = object()


def own_zip(*iterables: Iterable[Any], strict: bool = False) -> Iterator[tuple[Any, ...]]:
    """Do what ``zip`` does from Python 3.10 on.

    Raises
    ------
    ValueError
        With ``strict``, where an iterable ends before the others; in Python's words.
    """
    if not strict:
        return builtins.zip(*iterables)
    return _together(tuple(iter(iterable) for iterable in iterables))


def own_pairwise(iterable: Iterable[T]) -> Iterator[tuple[T, T]]:
    """Do what ``itertools.pairwise`` does: give each item with the one after it."""
    first, second = itertools.tee(iterable)
    next(second, None)
    return builtins.zip(first, second)


def own_entry_points(group: str) -> Iterable[EntryPoint]:
    """Do what ``entry_points`` does from Python 3.10 on: give those of a group, each once."""
    found: Any = importlib.metadata.entry_points()
    return tuple(dict.fromkeys(found.get(group, ())))


def _together(iterators: tuple[Iterator[Any], ...]) -> Iterator[tuple[Any, ...]]:
    for items in itertools.zip_longest(*iterators, fillvalue=_ENDED):
        ended = [item is _ENDED for item in items]
        if any(ended):
            raise ValueError(_who_differs(ended))
        yield items


def _who_differs(ended: list[bool]) -> str:
    place = ended.index(not ended[0])
    others = "argument 1" if place == 1 else f"arguments 1-{place}"
    return f"zip() argument {place + 1} is {'longer' if ended[0] else 'shorter'} than {others}"


if TYPE_CHECKING or sys.version_info >= (3, 10):
    zip = builtins.zip
    pairwise = itertools.pairwise  # novm
    entry_points = importlib.metadata.entry_points
else:
    zip = own_zip
    pairwise = own_pairwise
    entry_points = own_entry_points
