"""The checks that HybridSegTest runs inside Slicer, run here on the same real scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import HybridSeg
import pytest
from HybridSegLib import self_test


@pytest.mark.parametrize(
    "check", [*self_test.WITHOUT_ENGINE, *self_test.WITH_ENGINE], ids=lambda check: check.__name__
)
def test_it_passes(scene: Any, check: Callable[[], None]) -> None:
    check()


def test_slicers_self_test_runs_them_all(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    test = HybridSeg.HybridSegTest()
    monkeypatch.setattr(test, "delayDisplay", said.append)
    test.runTest()
    assert len(said) == len(self_test.WITHOUT_ENGINE) + len(self_test.WITH_ENGINE)


def test_a_check_can_fail(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "world_of_voxel", lambda node, voxel: (0, 0, 0))
    with pytest.raises(AssertionError, match="where it is"):
        self_test.check_places()
