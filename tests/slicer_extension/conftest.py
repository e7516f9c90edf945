"""What the tests of the 3D Slicer extension share.

The folder must not be called "slicer": slicer-core imports all that lies in folders of that name.
They run in a process and an environment of their own (``make test-slicer``): PySide6 and PyQt6
cannot be in one process, and slicer-core brings its own VTK. Elsewhere only those run that need
neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXTENSION = ROOT / "slicer_extension"
MODULE = EXTENSION / "HybridSeg"

NEED_NOTHING = (
    "test_extension_rules.py",
    "test_cmake.py",
    "test_split.py",
    "test_words.py",
    "test_old_python.py",
)


def _has_slicer_core() -> bool:
    # PyPI has an unrelated package called 'slicer'
    return find_spec("slicer.slicer_core") is not None and find_spec("PySide6") is not None


try:
    HAS_SLICER = _has_slicer_core()
except ModuleNotFoundError:
    HAS_SLICER = False

if not HAS_SLICER:
    collect_ignore_glob = [
        path.name for path in HERE.glob("test_*.py") if path.name not in NEED_NOTHING
    ]
else:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    sys.path.insert(0, str(HERE))
    import double

    DOUBLE = double.install()
    double.application.add_module("HybridSeg", MODULE)


@pytest.fixture(scope="session")
def engine_python() -> str:
    """Give a Python that has the engine with torch, or skip."""
    candidates = [os.environ.get("HYBRIDSEG_ENGINE_PYTHON", ""), str(ROOT / ".venv/bin/python")]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    if find_spec("torch") is not None:
        return sys.executable
    pytest.skip("no Python with the engine: set HYBRIDSEG_ENGINE_PYTHON or run 'make demo' once")


@pytest.fixture
def scene() -> Iterator[Any]:
    """Give Slicer's scene, empty."""
    import slicer
    from double import mrml_widgets

    slicer.mrmlScene.Clear(0)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)
    mrml_widgets.let_go()


@pytest.fixture
def open_module(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open the module with an engine that behaves as it is told."""
    from panels import OpenModule
    from waiting import fake_engine

    opened: list[OpenModule] = []

    def open_(mood: str = "well", **options: Any) -> OpenModule:
        opened.append(OpenModule(monkeypatch, fake_engine(mood), **options))
        return opened[-1]

    yield open_
    for module in opened:
        module.close()


@pytest.fixture(autouse=True)
def _no_callback_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which a callback of VTK or Qt raised: they only print it."""
    raised: list[BaseException] = []

    def remember(kind: Any, error: BaseException, traceback: Any) -> None:
        sys.__excepthook__(kind, error, traceback)
        raised.append(error)

    monkeypatch.setattr(sys, "excepthook", remember)
    yield
    assert not raised, raised


@pytest.fixture(autouse=True)
def _settings_of_its_own(tmp_path: Path) -> None:
    if HAS_SLICER:
        from PySide6.QtCore import QSettings

        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
        )
