"""Small things that several sections do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from HybridSegLib.state import PanelState, Phase

_ERROR = "color: #d04437"
# Qt's own numbers for right and vertically centred: an enum in one Qt, a flag in the next
RIGHT = 0x0002 | 0x0080


def show_line(label: Any, text: str, *, is_error: bool = False) -> None:
    """Show a text in a label that is hidden while it is empty."""
    label.text = text
    label.visible = bool(text)
    label.styleSheet = _ERROR if is_error else ""


def show_choices(box: Any, choices: Iterable[tuple[str, str]], key: str) -> None:
    """Show (key, text) pairs in a drop-down list, with the one of this key taken."""
    blocked = box.blockSignals(True)
    box.clear()
    for name, text in choices:
        box.addItem(text, name)
    box.setCurrentIndex(box.findData(key))
    box.blockSignals(blocked)


def show_node(selector: Any, node: Any) -> None:
    """Show a node as the one that is taken."""
    if selector.currentNode() is not node:
        blocked = selector.blockSignals(True)
        selector.setCurrentNode(node)
        selector.blockSignals(blocked)


def show_run_button(
    button: Any, title: str, help_text: str, task: str, state: PanelState, reason: str
) -> None:
    """Make a button start a task or, while that runs, stop it; ``reason`` says why it cannot."""
    is_mine = state.phase.is_busy and state.task == task
    is_cancelling = is_mine and state.phase is Phase.CANCELLING
    button.text = "Cancelling…" if is_cancelling else "Cancel" if is_mine else title
    button.enabled = (is_mine and not is_cancelling) or not reason
    button.toolTip = "Stop the job." if is_mine else reason or help_text


def fit_rows(table: Any, most: int) -> None:
    """Make a table as high as its rows, or as the first ones of many."""
    table.resizeRowsToContents()
    shown = min(table.rowCount, most)
    height = sum(table.rowHeight(row) for row in range(shown))
    header = table.horizontalHeader()
    table.setFixedHeight(height + max(header.height, header.sizeHint.height()) + 4)


def set_text(corrections: Any) -> str:
    """Say which correction set is chosen, and how many cases it has."""
    if corrections is None:
        return "none is chosen"
    count = len(corrections.cases)
    return f"{corrections.folder.name}: {count} case{'s' if count != 1 else ''}"
