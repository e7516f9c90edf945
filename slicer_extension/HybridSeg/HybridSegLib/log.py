"""What happened, line by line, and the report that a user can send to someone who helps."""

from __future__ import annotations

import platform
import re
import time
from collections import deque
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import slicer

from HybridSegLib.signal import Signal
from HybridSegLib.state import PanelState

_LINES = 500
_PACKAGES = ("napari-hybridseg", "torch", "monai", "SimpleITK", "numpy")


class Log:
    """The last lines of what happened; ``appended`` is emitted with every new one."""

    def __init__(self) -> None:
        self.appended = Signal()
        self._lines: deque[str] = deque(maxlen=_LINES)

    def add(self, text: str) -> None:
        """Add a text, with the time."""
        line = f"{time.strftime('%H:%M:%S')}  {text.rstrip()}"
        self._lines.append(line)
        self.appended.emit(line)

    @property
    def text(self) -> str:
        """All lines that are kept."""
        return "\n".join(self._lines)


def make_report(state: PanelState, log: Log, names: Iterable[str] = ()) -> str:
    """Put together what someone who helps needs to know; no voxels, none of the nodes' names."""
    card = state.checkpoint.card if state.checkpoint else None
    volume = state.volume_facts.line if state.volume_facts else "none"
    options: Any = state.options
    lines = [
        "HybridSeg report",
        f"System: {platform.platform()}, Python {platform.python_version()}",
        f"Slicer: {slicer.app.majorVersion}.{slicer.app.minorVersion} ({slicer.app.revision})",
        "Packages: " + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        f"Volume: {volume}",
        f"Checkpoint: {card.name} ({card.architecture})" if card else "Checkpoint: none",
        f"Options: {options.model_dump_json(exclude_defaults=True) if options else '-'}",
        f"State: {state.phase.value} ({state.task}): {state.message}",
        "",
        "Log:",
        log.text,
    ]
    return without_names("\n".join(lines), names, "node")


def without_names(text: str, names: Iterable[str], what: str) -> str:
    """Put ``[node 1]`` and so on in the place of names, which may be a patient's.

    Parameters
    ----------
    text : str
        What is to be shown to others.
    names : iterable of str
        What it must not show; a single letter is no name.
    what : str
        What they are the names of, e.g. ``node``.
    """
    known = sorted({name for name in names if len(name) > 1}, key=len, reverse=True)
    for number, name in enumerate(known, 1):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"[{what} {number}]", text)
    return text


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
