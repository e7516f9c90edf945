"""Slicer 5.8 has Python 3.9: the module must load there, and offer to install the engine."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "slicer_extension" / "HybridSeg"
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))

# everything that is imported when Slicer starts and when the panel is opened, on an empty Slicer
CODE = """
import sys, types
from unittest.mock import MagicMock
class Anything(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        return MagicMock()
for name in ("slicer", "slicer.i18n", "slicer.util", "qt", "ctk", "vtk"):
    sys.modules[name] = Anything(name)
sys.modules["slicer.i18n"].tr = str
base = Anything("slicer.ScriptedLoadableModule")
for name in ("", "Logic", "Test", "Widget"):
    setattr(base, "ScriptedLoadableModule" + name, type("Base" + name, (), {}))
sys.modules["slicer.ScriptedLoadableModule"] = base
sys.modules["slicer.util"].VTKObservationMixin = type("Mixin", (), {})
sys.path.insert(0, sys.argv[1])
import HybridSeg
from HybridSegLib.install import SlicerInstallation
from HybridSegLib.state import NOT_INSTALLED, PanelState, why_not_segment
installation = SlicerInstallation("requirements.txt")
state = PanelState()
state.update(obstacle=installation.obstacle())
assert not installation.obstacle()
assert not installation.is_complete()
print(why_not_segment(state) == NOT_INSTALLED)
"""


def python39() -> str:
    """Give a Python 3.9, or skip."""
    for candidate in ("python3.9", *map(str, sorted(PYENV.glob("versions/3.9.*/bin/python")))):
        ask = [candidate, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 9))"]
        try:
            if subprocess.run(ask, capture_output=True, check=False).returncode == 0:
                return candidate
        except FileNotFoundError:
            continue
    pytest.skip("no Python 3.9 here")


def test_every_file_can_be_read_by_python_3_9() -> None:
    files = [MODULE / "HybridSeg.py", *(MODULE / "HybridSegLib").rglob("*.py")]
    assert len(files) > 40
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))


def test_in_python_3_9_it_loads_and_wants_the_engine(tmp_path: Path) -> None:
    done = subprocess.run(
        [python39(), "-c", CODE, str(MODULE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.strip() == "True"
