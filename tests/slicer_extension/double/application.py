"""``slicer.app``, ``slicer.modules`` and ``slicer.mrmlScene`` on the slicer-core wheel."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from double import ctk_widgets, mrml_widgets, pythonqt, scripted

_LOGICS = {
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "tables": "vtkSlicerTablesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "transforms": "vtkSlicerTransformLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


class Module:
    """A loaded module: its logic and where it lies."""

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name = name
        self.path = path
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


class Application:
    """The part of qSlicerApplication that the module uses; anything else is no attribute."""

    applicationName = "Slicer"
    majorVersion, minorVersion = 5, 12
    revision = "double"

    def __init__(self, scene: Any, logic: Any, application: Any, home: str) -> None:
        self.slicerHome = home
        self.temporaryPath = "/tmp"
        self._scene = scene
        self._logic = logic
        self._application = application
        self.connections: list[tuple[str, Any]] = []

    def connect(self, signature: str, receiver: Any) -> bool:
        if signature != "startupCompleted()":
            raise ValueError(f"slicer.app has no signal {signature!r}")
        self.connections.append((signature, receiver))
        return True

    def applicationLogic(self) -> Any:
        return self._logic

    def processEvents(self) -> None:
        self._application.processEvents()

    def testingEnabled(self) -> bool:
        return True

    def layoutManager(self) -> None:
        return None


def install(slicer_home: str = "") -> types.SimpleNamespace:
    """Make this process look like Slicer; gives the scene and whatever must be kept alive."""
    qt, application = pythonqt.install()
    ctk_widgets.install()
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    slicer.mrmlScene = scene
    slicer.app = Application(scene, logic, application, slicer_home)
    colours = slicer.vtkSlicerColorLogic()
    logic.SetModuleLogic("Colors", colours)  # the application logic keeps a raw pointer
    colours.SetMRMLApplicationLogic(logic)
    colours.SetMRMLScene(scene)
    colours.AddDefaultColorNodes()
    bundles = _open_bundles(scene)
    slicer.modules = types.ModuleType("slicer.modules")
    sys.modules["slicer.modules"] = slicer.modules
    for name, kind in _LOGICS.items():
        made = getattr(slicer, kind)()
        made.SetMRMLApplicationLogic(logic)
        made.SetMRMLScene(scene)
        setattr(slicer.modules, name, Module(name, made))
    slicer.modules.colors = Module("colors", colours)
    kinds = mrml_widgets.widgets()
    for name, widget in kinds.items():
        setattr(slicer, name, widget)
    loader = ctk_widgets.UiLoader(kinds)
    slicer.util.loadUI = loader.read
    slicer.util.childWidgetVariables = _named_widgets
    slicer.util.mainWindow = lambda: None
    slicer.util.selectModule = _unexpected
    slicer.util.getModuleWidget = _unexpected
    scripted.install()
    return types.SimpleNamespace(
        scene=scene, qt=qt, application=application, keep=(colours, loader, bundles)
    )


def _unexpected(name: str) -> None:
    raise AssertionError(f"nobody expected the module {name} to be opened")


def _open_bundles(scene: Any) -> tuple[Any, ...]:
    """Let the scene read .mrb files: it unpacks them in its cache folder."""
    folder = tempfile.mkdtemp(prefix="slicer-double-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(folder)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    return cache, manager


def add_module(name: str, folder: Path) -> None:
    """Let Slicer know where a scripted module lies."""
    path = str(Path(folder) / f"{name}.py")
    setattr(slicer.modules, name.lower(), Module(name, path=path))
    sys.path.insert(0, str(folder))


def _named_widgets(widget: Any) -> types.SimpleNamespace:
    """Give the widgets of a .ui file by their names, as slicer.util.childWidgetVariables does."""
    from PySide6 import QtWidgets

    found = QtWidgets.QWidget.findChildren(widget, QtWidgets.QWidget)
    names = {child.objectName: child for child in found if isinstance(child.objectName, str)}
    return types.SimpleNamespace(**{name: child for name, child in names.items() if name})
