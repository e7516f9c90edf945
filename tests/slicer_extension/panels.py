"""The real module in the double: its widget set up as Slicer sets it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import HybridSeg
import numpy as np
import phantoms
import qt
import slicer
from HybridSegLib.bench.bench import Bench
from HybridSegLib.bench.engine_client import EngineClient
from HybridSegLib.install import InstallError
from PySide6 import QtWidgets
from waiting import wait_until


class FakeInstallation:
    """An installation that is there, or comes, or fails."""

    def __init__(self, *, is_there: bool = True, error: str = "", obstacle: str = "") -> None:
        self.is_there = is_there
        self.why_never = obstacle
        self.error = error
        self.asked = 0

    def obstacle(self) -> str:
        return self.why_never

    def is_complete(self) -> bool:
        return self.is_there

    def install(self) -> None:
        self.asked += 1
        if self.error:
            raise InstallError(self.error)
        self.is_there = True


class OpenModule:
    """The module's widget, and short words for what a user does with it."""

    def __init__(
        self,
        monkeypatch: Any,
        command: Sequence[str],
        installation: FakeInstallation | None = None,
        warm: EngineClient | None = None,
        **engine: Any,
    ) -> None:
        self.installation = installation or FakeInstallation()
        monkeypatch.setattr(HybridSeg, "SlicerInstallation", lambda path: self.installation)
        monkeypatch.setattr(
            HybridSeg.HybridSegLogic,
            "open_bench",
            lambda logic: Bench(warm or EngineClient(command, **engine)),
        )
        self.parent = qt.QWidget()
        QtWidgets.QVBoxLayout(self.parent)
        self.widget = HybridSeg.HybridSegWidget(self.parent)
        self.widget.setup()
        self.widget.enter()
        self.ui = self.widget.ui
        self.controller = self.widget.controller
        self.state = self.widget.controller.state

    def choose(self, selector: Any, node: Any) -> None:
        selector.setCurrentNode(node)

    def segment(self) -> None:
        assert self.ui.segmentButton.enabled, self.ui.segmentHint.text
        self.ui.segmentButton.click()

    def wait_until_done(self, seconds: float = 120.0) -> float:
        return wait_until(lambda: not self.state.phase.is_busy, seconds)

    def result(self) -> Any:
        return self.controller.parameters.reference("LabelMap")

    def close(self) -> None:
        self.widget.cleanup()
        self.parent.deleteLater()


def segmentations() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


Open = Callable[..., OpenModule]


def bright(matrix: Any = phantoms.OBLIQUE, name: str = "scan") -> Any:
    """Put a volume into the scene in which the fake engine finds two organs."""
    array = np.zeros(phantoms.SHAPE, np.int16)
    array[2:8, 3:9, 2:7] = 100
    array[5:11, 10:17, 8:14] = 200
    return phantoms.volume(name, matrix, array)


def nodes(kind: str) -> list[Any]:
    return list(slicer.util.getNodesByClass(kind))


def choose(box: Any, key: str) -> None:
    """Take an entry of a drop-down list, as a person does."""
    index = box.findData(key)
    assert index >= 0, key
    box.setCurrentIndex(index)
    box.activated.emit(index)
