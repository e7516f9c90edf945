"""What only the user can decide when a file is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from qtpy.QtCore import QThread
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from napari_hybridseg.formats import IrregularGridError

Opened = TypeVar("Opened")
_MOST_CHANNELS = 6


def can_ask() -> bool:
    """Say whether there is a window before which a question may be put, from this thread."""
    application = QApplication.instance()
    if application is None or QThread.currentThread() != application.thread():
        return False
    return any(window.isVisible() for window in QApplication.topLevelWidgets())


def window_to_ask_in() -> QWidget | None:
    """Give the window that a question belongs to; its look is taken from there."""
    visible = (window for window in QApplication.topLevelWidgets() if window.isVisible())
    return QApplication.activeWindow() or next(visible, None)


def read_or_resample(read: Callable[[bool], Opened]) -> Opened | None:
    """Read something; where its grid is irregular, let the user choose to have it resampled.

    Parameters
    ----------
    read : callable
        Gets whether to resample.

    Returns
    -------
    What ``read`` gives; None if the user wants it not resampled.

    Raises
    ------
    IrregularGridError
        As ``read``, where nobody can be asked.
    """
    try:
        return read(False)
    except IrregularGridError as refusal:
        if not can_ask():
            raise
        return read(True) if ask_to_resample(f"{refusal.problem}.") else None


def ask_to_resample(refusal: str) -> bool:
    """Show why a file does not open as it is, and ask whether to resample it."""
    box = _box("Irregular slices or axes", refusal)
    box.setInformativeText(
        "Resampling makes an even, right-angled grid. Values between the slices are interpolated, "
        "and what is saved lies on the new grid."
    )
    resample = box.addButton("Resample to a regular grid", QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    return box.clickedButton() is resample


def ask_what_volumes_are(name: str, count: int) -> Literal["time", "channels"] | None:
    """Ask what the volumes of a 4D file are that does not say so; None if the user gives up."""
    box = _box("Several volumes", f"{name} holds {count} volumes and does not say what they are.")
    box.setInformativeText(
        "Time points become one layer with a slider. Channels (such as T1, T2 and FLAIR) become "
        "one layer each."
    )
    time = box.addButton("Time points", QMessageBox.ButtonRole.AcceptRole)
    channels = box.addButton("Channels", QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(channels if count <= _MOST_CHANNELS else time)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    if box.clickedButton() is time:
        return "time"
    return "channels" if box.clickedButton() is channels else None


def _box(title: str, text: str) -> QMessageBox:
    box = QMessageBox(window_to_ask_in())
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(title)
    box.setText(text)
    return box
