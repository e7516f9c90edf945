"""The ctk widgets that the panel uses, and the loader of .ui files."""

from __future__ import annotations

import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from double.pythonqt import keep, wrap


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A title over contents that fold away."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *args: Any) -> None:
        super().__init__(*(arg for arg in args if isinstance(arg, QtWidgets.QWidget)))
        self._text = ""
        self._collapsed = False
        self.setContentsMargins(0, 22, 0, 0)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        # 'self.width' is a number once this is wrapped
        width, palette = QtWidgets.QWidget.width(self), QtWidgets.QWidget.palette(self)
        painter.fillRect(0, 0, width, 20, palette.button())
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(6, 15, f"{arrow}  {self._text}")
        painter.end()

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, value: bool) -> None:
        self._collapsed = bool(value)
        self.contentsCollapsed.emit(self._collapsed)

    text = QtCore.Property(str, lambda self: self._text, _set_text)
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box that folds away."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._collapsed = False

    def _set_collapsed(self, value: bool) -> None:
        self._collapsed = bool(value)
        self.setMaximumHeight(16 if value else 16777215)  # its title alone

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)


class UiLoader(QtUiTools.QUiLoader):
    """Reads .ui files; a class that has no stand-in, or a property that is unknown, raises."""

    def __init__(self, mrml: dict[str, Any]) -> None:
        super().__init__()
        self._mrml = mrml

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        kind = self._mrml.get(class_name) or getattr(sys.modules["ctk"], class_name, None)
        if kind is None and hasattr(QtWidgets, class_name):
            kind = wrap(getattr(QtWidgets, class_name))
        if kind is None:
            raise RuntimeError(f"there is no stand-in for {class_name} ({name})")
        widget = kind(parent) if parent is not None else kind()
        widget.setObjectName(name)
        widget._is_being_made = True  # the loader makes children attributes of the form
        keep.append(widget)
        return widget

    def read(self, path: str | Path) -> Any:
        """Load a file; its connections are made here, because QUiLoader knows no MRML types."""
        root = ElementTree.parse(path).getroot()
        connections = root.find("connections")
        wanted = [] if connections is None else [{x.tag: x.text for x in c} for c in connections]
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = self.load(buffer)
        for made in keep:
            made._is_being_made = False
        named = {child.objectName: child for child in keep if isinstance(child.objectName, str)}
        self._check_properties(root, named)
        for connection in wanted:
            sender, receiver = named[connection["sender"]], named[connection["receiver"]]
            slot = connection["slot"].partition("(")[0]
            sender.connect(connection["signal"], getattr(receiver, slot))
        return widget

    @staticmethod
    def _check_properties(root: Any, named: dict[str, Any]) -> None:
        for element in root.iter("widget"):
            meta = named[element.get("name")].metaObject()
            for given in element.findall("property"):
                if meta.indexOfProperty(given.get("name")) < 0:
                    raise ValueError(f"{element.get('class')} has no property {given.get('name')}")


def install() -> types.ModuleType:
    """Put ``ctk`` among the modules."""
    module = types.ModuleType("ctk")
    module.ctkCollapsibleButton = wrap(ctkCollapsibleButton)
    module.ctkCollapsibleGroupBox = wrap(ctkCollapsibleGroupBox)
    sys.modules["ctk"] = module
    return module
