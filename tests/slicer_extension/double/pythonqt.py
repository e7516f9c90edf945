"""PythonQt's way of showing Qt, over PySide6: the modules ``qt`` and ``ctk``.

What differs from PySide6, and is imitated here:

* a Qt property is an attribute (``label.text`` is a str), and its setter stays a method;
* signals are connected by their signature: ``button.connect("clicked(bool)", f)``;
* all classes lie in one module, and file dialogs give a plain str.

Stricter than PythonQt: a signal that is not there, and an attribute that is neither a Qt property
nor made by the class, raise.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

# virtual methods of the same name as a property: a property in the class would stand in for them
# when Qt calls them, so their values are given where Python asks
_VIRTUALS = {"sizeHint", "minimumSizeHint"}
_OWN_VIRTUALS = {"QProgressBar": {"text"}}
_VTK_TYPES = ("vtkMRMLNode*", "vtkMRMLScene*")
_wrapped: dict[type, type] = {}
keep: list[Any] = []  # the Python halves of widgets that only Qt holds otherwise


def signature(text: str) -> str:
    """Give a signal's signature as Qt knows it; MRML pointers are Python objects here."""
    normal = bytes(QtCore.QMetaObject.normalizedSignature(text).data()).decode()
    for vtk_type in _VTK_TYPES:
        normal = normal.replace(vtk_type, "PyObject")
    return normal


def connect(self: Any, text: str, receiver: Callable[..., Any]) -> bool:
    """Connect a signal by its signature."""
    normal = signature(text)
    meta = self.metaObject()
    if meta.indexOfSignal(normal) < 0:
        raise ValueError(f"{meta.className()} has no signal {text!r}")
    if not callable(receiver):
        raise TypeError(f"{receiver!r} cannot be connected to {text!r}")
    name, _, rest = normal.partition("(")
    kinds = [kind for kind in rest[:-1].split(",") if kind]
    bound = getattr(self, name)
    if meta.className().startswith("Q"):  # overloads occur only in Qt's own classes
        with contextlib.suppress(KeyError, IndexError):
            bound = bound[rest[:-1]] if kinds else bound

    def call(*values: Any) -> None:
        receiver(*values[: len(kinds)])

    self.__dict__.setdefault("_connections", []).append((normal, receiver, call))
    bound.connect(call)
    return True


def disconnect(self: Any, text: str, receiver: Callable[..., Any]) -> bool:
    """Undo a connection."""
    for entry in list(self.__dict__.get("_connections", [])):
        if entry[0] == signature(text) and entry[1] == receiver:
            getattr(self, entry[0].partition("(")[0]).disconnect(entry[2])
            self.__dict__["_connections"].remove(entry)
            return True
    raise ValueError(f"{text!r} is not connected to {receiver!r}")


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        return self.property(name)

    def write(self: Any, value: Any) -> None:
        if not self.setProperty(name, value):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be {value!r}")

    return property(read, write)


def _lookup(cls: type, name: str) -> Any:
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _strict_setattr(plain: type) -> Callable[[Any, str, Any], None]:
    def setattr_(self: Any, name: str, value: Any) -> None:
        is_known = name.startswith("_") or _lookup(type(self), name) is not None
        if not is_known and not getattr(self, "_is_being_made", False):
            raise AttributeError(f"{plain.__name__} has no property {name!r}")
        plain.__setattr__(self, name, value)

    return setattr_


def wrap(plain: type) -> Any:
    """Give a class of PySide6, or one derived from it here, as PythonQt shows it."""
    if plain in _wrapped:
        return _wrapped[plain]
    names: dict[str, Any] = {"__module__": "qt", "_plain": plain}
    meta = plain.staticMetaObject
    virtuals = _VIRTUALS | _OWN_VIRTUALS.get(plain.__name__, set())
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        # one that is declared in Python is an attribute already
        if name not in virtuals and not isinstance(_lookup(plain, name), QtCore.Property):
            names[name] = _property(name)

    def find_children(self: Any, kind: type = QtCore.QObject, *rest: Any) -> Any:
        return plain.findChildren(self, getattr(kind, "_plain", kind), *rest)

    def getattribute(self: Any, name: str) -> Any:
        found = plain.__getattribute__(self, name)
        return found() if name in _VIRTUALS else found

    def init(self: Any, *args: Any, **options: Any) -> None:
        self._is_being_made = True
        plain.__init__(self, *args, **options)
        _own_parts(self)
        self._is_being_made = False

    # they must lie in the class itself: PySide finds QObject's before those of a base class
    names.update(
        connect=connect,
        disconnect=disconnect,
        findChildren=find_children,
        __init__=init,
        __getattribute__=getattribute,
        __setattr__=_strict_setattr(plain),
    )
    _wrapped[plain] = type(plain.__name__, (plain,), names)
    return _wrapped[plain]


def _own_parts(widget: Any) -> None:
    """Replace the parts that Qt makes by itself, which would come back as plain PySide6."""
    orientation = QtCore.Qt.Orientation
    if isinstance(widget, QtWidgets.QTableView):
        header = wrap(QtWidgets.QHeaderView)(orientation.Horizontal)
        header.setSectionsClickable(True)
        keep.append(header)
        widget.setHorizontalHeader(header)


class _FileDialog:
    """File dialogs that answer what a test laid down; an unexpected question is an error."""

    answers: list[str] = []  # noqa: RUF012

    @classmethod
    def getOpenFileName(cls, parent: Any, title: str, folder: str, pattern: str) -> str:
        return cls.answers.pop(0)

    @classmethod
    def getSaveFileName(cls, parent: Any, title: str, start: str, pattern: str) -> str:
        return cls.answers.pop(0)

    @classmethod
    def getExistingDirectory(cls, parent: Any, title: str, folder: str) -> str:
        return cls.answers.pop(0)


class QtModule(types.ModuleType):
    """``qt``: every class of Qt, in one module."""

    QFileDialog = _FileDialog

    def __getattr__(self, name: str) -> Any:
        for source in (QtCore, QtGui, QtWidgets):
            if hasattr(source, name):
                found = getattr(source, name)
                if isinstance(found, type) and issubclass(found, QtCore.QObject):
                    found = wrap(found)
                setattr(self, name, found)
                return found
        raise AttributeError(f"module 'qt' has no attribute {name!r}")


def install() -> tuple[QtModule, Any]:
    """Put ``qt`` among the modules, and give it with the application."""
    module = QtModule("qt")
    sys.modules["qt"] = module
    QtCore.QCoreApplication.setOrganizationName("hybridseg-tests")
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer-double"])
    return module, application
