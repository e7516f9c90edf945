"""The double of Slicer's application is stricter than Slicer: a slip fails here, not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import qt
import slicer

UI = """<ui version="4.0"><class>Form</class>
<widget class="QWidget" name="Form">
<widget class="{kind}" name="part">{inside}</widget>
</widget></ui>
"""


def write_unknown(button: Any) -> None:
    button.enabledd = True


def call_property(button: Any) -> None:
    button.text()  # PythonQt has it as a value


def call_size_hint(button: Any) -> None:
    button.sizeHint()  # a property too, though Qt has a virtual method of its name


def read_unknown(button: Any) -> None:
    button.titel  # noqa: B018


def misspell_signal(button: Any) -> None:
    button.connect("cliked(bool)", print)


def connect_nothing(button: Any) -> None:
    button.connect("clicked(bool)", None)


def write_wrong_type(button: Any) -> None:
    button.enabled = object()


def take_class_that_is_gone(button: Any) -> None:
    qt.QTextCodec  # noqa: B018


def ask_application_for_what_it_has_not(button: Any) -> None:
    slicer.app.restartNow()


@pytest.mark.parametrize(
    ("slip", "error"),
    [
        (write_unknown, AttributeError),
        (read_unknown, AttributeError),
        (call_property, TypeError),
        (call_size_hint, TypeError),
        (misspell_signal, ValueError),
        (connect_nothing, TypeError),
        (write_wrong_type, (AttributeError, TypeError)),
        (take_class_that_is_gone, AttributeError),
        (ask_application_for_what_it_has_not, AttributeError),
    ],
)
def test_a_slip_raises(slip: Any, error: Any) -> None:
    button = qt.QPushButton("Segment")
    with pytest.raises(error):
        slip(button)
    button.text = "still there"
    assert button.text == "still there"


@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        ("qMRMLNodeCombobox", ""),
        ("qMRMLNodeComboBox", '<property name="noneEnable"><bool>true</bool></property>'),
        ("QPushButton", '<property name="caption"><string>x</string></property>'),
    ],
)
def test_a_slip_in_the_ui_file_raises(tmp_path: Path, kind: str, inside: str) -> None:
    path = tmp_path / "slip.ui"
    path.write_text(UI.format(kind=kind, inside=inside), encoding="utf-8")
    with pytest.raises((RuntimeError, ValueError)):
        slicer.util.loadUI(str(path))
