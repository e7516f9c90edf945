"""Parameter names: those of the authors' code, and ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from napari_hybridseg.errors import HybridSegError

RenameRules = Sequence[tuple[str, str]]


class StateDictError(HybridSegError):
    """A state dict that does not fit the architecture it is said to be of."""


def names_by_authors(ours: Iterable[str], rules: RenameRules) -> dict[str, str]:
    """Map each parameter name of the authors' code to ours.

    Parameters
    ----------
    ours : iterable of str
        Our parameter names.
    rules : sequence of (pattern, replacement)
        Regular expressions; each rewrites the start of one of our names, in order, into the
        authors' words. A name that no rule fits is the same in both.
    """
    names = {}
    for name in ours:
        authors = name
        for pattern, replacement in rules:
            authors = re.sub(f"^{pattern}", replacement, authors)
        names[authors] = name
    return names


def rename_to_ours(
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    architecture: str,
    is_unused: Callable[[str], bool] = lambda key: False,
) -> dict[str, Tensor]:
    """Rename the parameters of the authors' state dict to ours.

    Parameters
    ----------
    state : mapping
        The authors' parameter name to tensor.
    names : mapping
        From ``names_by_authors``.
    architecture : str
        Named in the error.
    is_unused : callable
        Says of a name that is not in ``names`` whether it may be left out.

    Raises
    ------
    StateDictError
        If a name is neither known nor unused.
    """
    unknown = sorted(key for key in state if key not in names and not is_unused(key))
    if unknown:
        shown = ", ".join(unknown[:5]) + (" and more" if len(unknown) > 5 else "")
        raise StateDictError(
            f"{len(unknown)} of the {len(state)} parameters are not of {architecture} "
            f"with these settings: {shown}; check the architecture and its config."
        )
    return {names[key]: value for key, value in state.items() if key in names}
