"""Reading a MONAI bundle's configuration as data: references are followed, nothing is evaluated.

MONAI's own reader evaluates every text that begins with ``$`` as Python, so it is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_hybridseg.interop.foreign_files import ForeignFileError

_DEEPEST = 50


def resolved(config: Mapping[str, Any], what: Any, depth: int = 0) -> Any:
    """Replace each ``"@name"`` by what the configuration has under that name.

    Parameters
    ----------
    config : mapping
        The whole configuration.
    what : Any
        The part to resolve.
    depth : int
        How many references led here.

    Raises
    ------
    ForeignFileError
        If a part is a program (``$``), refers to what is not there, or to itself.
    """
    if depth > _DEEPEST:
        raise ForeignFileError("This MONAI bundle's configuration refers to itself.")
    if isinstance(what, Mapping):
        return {key: resolved(config, value, depth + 1) for key, value in what.items()}
    if isinstance(what, list):
        return [resolved(config, value, depth + 1) for value in what]
    if isinstance(what, str) and what.startswith("$"):
        raise ForeignFileError(
            f"This MONAI bundle's configuration has a program in it ({what[:60]!r}), which is not "
            "run; write the value itself in its place."
        )
    if isinstance(what, str) and what.startswith("@"):
        return resolved(config, _look_up(config, what[1:]), depth + 1)
    return what


def _look_up(config: Mapping[str, Any], name: str) -> Any:
    found: Any = config
    for part in name.replace("#", "::").split("::"):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ForeignFileError(
                f"This MONAI bundle's configuration refers to {name!r}, which it does not have."
            ) from error
    return found
