"""Small things that several sections do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from HybridSegLib.state import PanelState, Phase

_ERROR = "color: #d04437"


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
