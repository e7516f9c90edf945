"""Compiling loops with numba, kept on disk where there is a folder for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Any:
    """Compile a function when it is first called; what it compiles to lasts between processes.

    It releases the GIL. Where neither the package's folder nor the user's may be written, every
    process compiles anew.

    Parameters
    ----------
    **options
        More of numba's, such as ``error_model``.

    Returns
    -------
    callable
        The decorator; what it gives knows no types, for numba's functions take more than they say.
    """

    def decorate(loop: Callable[..., Any]) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(loop)
        except RuntimeError:  # "no locator available": numba asks as soon as it decorates
            return njit(nogil=True, **options)(loop)

    return decorate
