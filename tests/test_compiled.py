"""Loops are compiled even where nothing can be kept."""

from __future__ import annotations

from typing import Any

import pytest
from numba.core import caching

from napari_hybridseg.compiled import compiled


def add(a: int, b: int) -> int:
    return a + b


def test_a_loop_is_compiled_and_may_be_kept() -> None:
    loop = compiled(error_model="numpy")(add)
    assert loop.targetoptions["nogil"]
    assert type(loop._cache) is caching.FunctionCache


def test_a_loop_is_compiled_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*args: Any) -> None:
        return None

    for locator in caching.CacheImpl._locator_classes:
        monkeypatch.setattr(locator, "from_function", nowhere)
    loop = compiled(error_model="numpy")(add)
    assert type(loop._cache) is not caching.FunctionCache
    assert loop(1, 2) == 3
