"""The qMRML widgets that the panel uses, on the real scene."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from double.pythonqt import wrap

_OBSERVERS: list[tuple[Any, int]] = []


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that passes its scene on."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


def _flag(name: str, default: bool) -> Any:
    def read(self: Any) -> bool:
        return self._flags.get(name, default)

    def write(self: Any, value: bool) -> None:
        self._flags[name] = bool(value)
        self._fill()

    return QtCore.Property(bool, read, write)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists nodes of some classes; the first is taken where there is no 'none'."""

    mrmlSceneChanged = QtCore.Signal(object)
    currentNodeChanged = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._scene: Any = None
        self._types: list[str] = []
        self._ids: list[str] = []
        self._flags: dict[str, bool] = {}
        self._none = "None"
        self._is_filling = False
        self.currentIndexChanged.connect(self._tell)

    addEnabled = _flag("addEnabled", True)
    removeEnabled = _flag("removeEnabled", True)
    renameEnabled = _flag("renameEnabled", False)
    noneEnabled = _flag("noneEnabled", False)
    showHidden = _flag("showHidden", False)
    showChildNodeTypes = _flag("showChildNodeTypes", True)

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    def _set_none(self, text: str) -> None:
        self._none = text

    nodeTypes = QtCore.Property("QStringList", lambda self: self._types, _set_types)
    noneDisplay = QtCore.Property(str, lambda self: self._none, _set_none)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
            tag = scene.AddObserver(event, lambda *_: self._fill())
            _OBSERVERS.append((scene, tag))
        self._fill()
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        key = self._current_id()
        return self._scene.GetNodeByID(key) if key and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self._fill()
        key = node.GetID() if node is not None else ""
        QtWidgets.QComboBox.setCurrentIndex(self, self._ids.index(key) if key in self._ids else -1)

    def _current_id(self) -> str:
        index = QtWidgets.QComboBox.currentIndex(self)
        return self._ids[index] if 0 <= index < len(self._ids) else ""

    def _tell(self, *_: Any) -> None:
        if not self._is_filling:
            self.currentNodeChanged.emit(self.currentNode())

    def _fill(self) -> None:
        if self._scene is None:
            return
        before = self._current_id()
        self._is_filling = True
        self.clear()
        self._ids = []
        if self._flags.get("noneEnabled", False):
            self._ids.append("")
            self.addItem(self._none)
        nodes = self._scene.GetNodes()
        for node in (nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())):
            if self._lists(node):
                self._ids.append(node.GetID())
                self.addItem(node.GetName() or "")
        after = self._ids.index(before) if before in self._ids else (0 if self._ids else -1)
        QtWidgets.QComboBox.setCurrentIndex(self, after)
        self._is_filling = False
        if self._current_id() != before:
            self._tell()

    def _lists(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._flags.get("showHidden", False):
            return False
        if self._flags.get("showChildNodeTypes", True):
            return any(node.IsA(kind) for kind in self._types)
        return node.GetClassName() in self._types


def let_go() -> None:
    """Let the selectors of panels that are gone hear no more of their scenes."""
    for scene, tag in _OBSERVERS:
        scene.RemoveObserver(tag)
    _OBSERVERS.clear()


def widgets() -> dict[str, Any]:
    """Give the classes, as PythonQt shows them, by their names."""
    return {kind.__name__: wrap(kind) for kind in (qMRMLWidget, qMRMLNodeComboBox)}
