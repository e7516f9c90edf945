"""Numbers of things in words."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Say how many there are, e.g. ``1 case``, ``1,204 voxels``; ``many`` is ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
