from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from correction_support import correction, verified

from napari_hybridseg.corrections.accepting import accept

HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")


def kills(what: str, folder: Path, times: int) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), what, str(folder), str(times), "7"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "times", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["20", "200"]
)
def test_killed_while_accepting_never_harms_the_set(tmp_path: Path, times: int) -> None:
    found = kills("accept", tmp_path, times)
    assert len(found) == times
    assert [each for each in found if not each["ok"]] == []
    assert {each["told"] > 0 for each in found} == {True, False}
    # the next writer clears the drafts of the dead away
    accept(tmp_path, correction(1))
    assert not list(tmp_path.glob(".draft-*"))
    assert verified(tmp_path).ok


@pytest.mark.parametrize(
    "times", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["20", "200"]
)
def test_killed_while_painting_and_accepting_loses_no_stroke(tmp_path: Path, times: int) -> None:
    found = kills("both", tmp_path, times)
    assert len(found) == times
    assert [each for each in found if not each["ok"]] == []
    # kills came before and after the first case was in the set
    assert {each["in the set"] > 0 for each in found} == {True, False}


@pytest.mark.parametrize(
    "times", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["20", "200"]
)
def test_killed_while_saving_loses_at_most_the_save_at_hand(tmp_path: Path, times: int) -> None:
    found = kills("autosave", tmp_path, times)
    assert len(found) == times
    assert [each for each in found if not each["ok"]] == []
    assert {each["told"] > 0 for each in found} == {True, False}
