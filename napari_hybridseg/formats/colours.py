"""Colours as files write them."""

from __future__ import annotations

from collections.abc import Iterable


def hex_colour(fractions: Iterable[float]) -> str:
    """Turn red, green and blue from 0 to 1 into ``#rrggbb``.

    Raises
    ------
    ValueError
        If these are not three finite numbers.
    """
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0)) for part in fractions)
    return f"#{red:02x}{green:02x}{blue:02x}"
