"""Ending a process with all that it started.

``PythonSlicer`` is a launcher: the engine is its child, and killing the launcher alone would
leave the engine at work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants; one that is gone already is no error."""
    if pid <= 0:
        return
    if sys.platform == "win32":
        ask = ["taskkill", "/F", "/T", "/PID", str(pid)]
        flags = subprocess.CREATE_NO_WINDOW
        subprocess.run(ask, capture_output=True, check=False, creationflags=flags)
        return
    for one in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """List the processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def _parents() -> dict[int, int]:
    """Give the parent of every process."""
    if Path("/proc/self/stat").exists():
        return _parents_from_proc()
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False
    )
    pairs = (line.split() for line in listing.stdout.splitlines())
    return {int(pair[0]): int(pair[1]) for pair in pairs if len(pair) == 2}


def _parents_from_proc() -> dict[int, int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # the name in brackets may hold spaces and brackets of its own
                after_name = (folder / "stat").read_text(errors="replace").rpartition(")")[2]
                parents[int(folder.name)] = int(after_name.split()[1])
    return parents
