"""The one kind of failure that is meant for the user's eyes."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


# what a reader of pickles, torch's restricted one too, stumbles over in damaged bytes
UNREADABLE_PICKLE: tuple[type[Exception], ...] = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
)
# torch raises a plain RuntimeError for most of these
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")


class HybridSegError(Exception):
    """A failure whose message is one clear sentence: what is wrong, with what, what to do."""


def first_problem(error: ValidationError) -> str:
    """Give the first of pydantic's complaints as a part of a sentence: what, and why not."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place!r}: {reason}" if place else reason


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a failure was for want of memory, on whichever device."""
    text = " ".join(str(error).split()).lower()
    return isinstance(error, MemoryError) or any(word in text for word in _MEMORY_WORDS)
