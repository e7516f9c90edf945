"""What torch reads once, when it is loaded, and so has to be said before."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# on Linux: large arrays in large pages, which are there in far fewer steps
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def ask_for_large_pages(environment: MutableMapping[str, str] | None = None) -> None:
    """Have torch take its memory in large pages, where nobody has said otherwise.

    A network's answers are new memory for every window. On a CPU this spared the plain networks
    about a tenth of their time, and took no more memory.

    Parameters
    ----------
    environment : mapping, optional
        The variables to change; this process's own otherwise.
    """
    (os.environ if environment is None else environment).setdefault(LARGE_PAGES, "1")
