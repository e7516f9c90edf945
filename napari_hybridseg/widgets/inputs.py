"""Small inputs that behave well in a panel that scrolls."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.widgets.state import Choice


class ChoiceBox(QComboBox):
    """A drop-down list of choices; ``chosen`` gives a key, and only when a person chose it."""

    chosen = Signal(str)

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(placeholder)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.activated.connect(lambda index: self.chosen.emit(self.itemData(index)))

    def show_choices(self, choices: Sequence[Choice], key: str) -> None:
        """Show these choices, with the one of this key taken; none if there is no such key."""
        self.clear()
        for choice in choices:
            self.addItem(choice.text, choice.key)
        self.show_key(key)

    def show_key(self, key: str) -> None:
        """Show the choice of this key as taken."""
        self.setCurrentIndex(self.findData(key))
        self.setToolTip(self.currentText())

    @property
    def key(self) -> str:
        """The key of the choice that is taken; empty if none is."""
        return str(self.currentData() or "")

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the panel scroll instead of changing a value by accident."""
        event.ignore()


class WholeNumberBox(QSpinBox):
    """A number field that the mouse wheel does not change."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the panel scroll."""
        event.ignore()


class NumberBox(QDoubleSpinBox):
    """A number field that the mouse wheel does not change."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the panel scroll."""
        event.ignore()


class Line(QLabel):
    """A text that wraps and takes no more width than it is given; hidden while it is empty."""

    def __init__(self, role: str = "quiet", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("hybridseg", role)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setVisible(False)

    def show_text(self, text: str, role: str | None = None) -> None:
        """Show a text, perhaps in another role: quiet, plain, warning or error."""
        self.setText(text)
        if role is not None and role != self.property("hybridseg"):
            self.setProperty("hybridseg", role)
            self.style().unpolish(self)
            self.style().polish(self)
        self.setVisible(bool(text))

    def minimumSizeHint(self) -> QSize:
        """Give a height that fits the text at the present width."""
        return QSize(0, self.heightForWidth(max(1, self.width())))


class Fold(QWidget):
    """A title that a click folds away with what is under it."""

    toggled = Signal(bool)

    def __init__(self, title: str, role: str = "fold", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QToolButton()
        self._button.setProperty("hybridseg", role)
        self._button.setText(title)
        self._button.setCheckable(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._body = QFrame()
        self.body = QVBoxLayout(self._body)
        self.body.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        layout.addWidget(self._body)
        self._button.toggled.connect(self._on_toggled)
        self.set_open(False)

    @property
    def is_open(self) -> bool:
        """Whether the content shows."""
        return bool(self._button.isChecked())

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(is_open)
        self._show(is_open)

    def _on_toggled(self, is_open: bool) -> None:
        self._show(is_open)
        self.toggled.emit(is_open)

    def _show(self, is_open: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._body.setVisible(is_open)
