"""What the tests of explanations share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from explain_support import make

from napari_hybridseg.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    """Give the small network of a family, made once."""
    folder: Path = tmp_path_factory.mktemp("small")
    made: dict[str, Checkpoint] = {}

    def give(family: str) -> Checkpoint:
        if family not in made:
            made[family] = make(folder, family)
        return made[family]

    return give
