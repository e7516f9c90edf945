"""The checks that HybridSegTest runs inside Slicer, run here on the same real scene."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import HybridSeg
import pytest
from conftest import HERE, ROOT
from HybridSegLib import self_test

# Slicer with the module of another folder, as it is installed
CODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import double
double.install()
double.application.add_module("HybridSeg", Path(sys.argv[2]) / "HybridSeg")
import HybridSeg, HybridSegLib, qt, slicer
assert Path(HybridSegLib.__file__).is_relative_to(sys.argv[2]), HybridSegLib.__file__
from PySide6 import QtWidgets
parent = qt.QWidget()
QtWidgets.QVBoxLayout(parent)
widget = HybridSeg.HybridSegWidget(parent)
widget.setup()
assert widget.ui.segmentButton.text == "Segment"
widget.cleanup()
test = HybridSeg.HybridSegTest()
test.delayDisplay = print
test.runTest()
"""


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


def test_the_stand_alone_tree_opens_its_panel_and_passes_its_self_test(tmp_path: Path) -> None:
    tree = tmp_path / "SlicerHybridSeg"
    script = ROOT / "scripts" / "slicer_split.py"
    subprocess.run([sys.executable, str(script), str(tree)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(HERE), str(tree)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.count(": passed") == len(self_test.WITHOUT_ENGINE + self_test.WITH_ENGINE)
