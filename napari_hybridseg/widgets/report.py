"""What happened, line by line, and the report that a user can send to someone who helps."""

from __future__ import annotations

import platform
import re
import time
from collections import deque
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from psygnal import Signal

from napari_hybridseg.widgets.state import FaceState

_LINES = 500
_PACKAGES = ("napari-hybridseg", "napari", "torch", "monai", "SimpleITK", "numpy", "qtpy")


class Log:
    """The last lines of what happened."""

    appended = Signal(str)

    def __init__(self) -> None:
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


def make_report(state: FaceState, log: Log, names: Iterable[str] = ()) -> str:
    """Put together what someone who helps needs to know; no voxels, none of the layers' names."""
    card = state.checkpoint.card if state.checkpoint else None
    volume = state.volume_facts.line if state.volume_facts else "none"
    lines = [
        "HybridSeg report",
        f"System: {platform.platform()}, Python {platform.python_version()}",
        "Packages: " + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        f"Volume: {volume}",
        f"Checkpoint: {card.name} ({card.architecture})" if card else "Checkpoint: none",
        f"Options: {state.options.model_dump_json(exclude_defaults=True)}",
        f"State: {state.phase.value} ({state.task.value}): {state.message}",
        "",
        "Log:",
        log.text,
    ]
    return without_names("\n".join(lines), names, "layer")


def without_names(text: str, names: Iterable[str], what: str) -> str:
    """Put ``[layer 1]`` and so on in the place of names, which may be a patient's.

    Parameters
    ----------
    text : str
        What is to be shown to others.
    names : iterable of str
        What it must not show; a single letter is no name.
    what : str
        What they are the names of, e.g. ``layer``.
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
