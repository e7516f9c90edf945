"""The engine process, started and listened to through QProcess: the GUI never waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt

from HybridSegLib.process_tree import kill_tree
from HybridSegLib.signal import Signal

LONGEST_LINE = 64 * 2**20
# a folder without Python files
_PLACE = Path(__file__).resolve().parents[1] / "Resources"


class EngineProcess:
    """One engine process.

    Signals: ``said`` with every line (bytes) of its standard output, ``logged`` with every line
    (text) of its standard error, and once ``ended`` with its exit code; None if it could not be
    started, and the number of the signal below zero if it crashed.

    Parameters
    ----------
    command : sequence of str
        What starts it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.said = Signal()
        self.logged = Signal()
        self.ended = Signal()
        self.command = tuple(command)
        self._output = b""
        self._errors = b""
        self._is_over = False
        self._process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        # a file in the folder where Slicer was started must not stand in for a module; Python 3.9
        # does not know the word, so the engine starts elsewhere besides
        environment.insert("PYTHONSAFEPATH", "1")
        environment.insert("PYTHONUNBUFFERED", "1")
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(str(_PLACE))
        self._process.connect("readyReadStandardOutput()", self._read_output)
        self._process.connect("readyReadStandardError()", self._read_errors)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._on_finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._on_error)

    @property
    def is_alive(self) -> bool:
        """Whether it is running, or about to."""
        return not self._is_over and self._process.state() != qt.QProcess.NotRunning

    @property
    def pid(self) -> int:
        """Its process id; 0 if it does not run."""
        return int(self._process.processId())

    def start(self) -> None:
        """Start it; returns at once."""
        self._process.start(self.command[0], list(self.command[1:]))

    def say(self, line: bytes) -> None:
        """Send a line; if the process is gone, ``ended`` tells."""
        self._process.write(line)

    def close_input(self) -> None:
        """Tell it that nothing more will come: it ends by itself then."""
        self._process.closeWriteChannel()

    def kill(self) -> None:
        """End it and its children at once."""
        kill_tree(self.pid)
        self._process.kill()

    def leave(self) -> None:
        """Hear nothing of it any more, though it may not have ended yet."""
        self._is_over = True

    def wait(self, milliseconds: int) -> bool:
        """Wait for its end; only for when Slicer itself ends."""
        return bool(self._process.waitForFinished(milliseconds))

    def _read_output(self) -> None:
        if self._is_over:
            return  # perhaps from within its destructor
        self._output += _as_bytes(self._process.readAllStandardOutput())
        *lines, self._output = self._output.split(b"\n")
        if len(self._output) > LONGEST_LINE:
            self._output = b""
        for line in lines:
            if not self._is_over:
                self.said.emit(line)

    def _read_errors(self) -> None:
        if self._is_over:
            return
        self._errors += _as_bytes(self._process.readAllStandardError())
        *lines, self._errors = self._errors.split(b"\n")
        for line in lines:
            self.logged.emit(text_of(line))

    def _on_finished(self, code: int, status: Any) -> None:
        if self._is_over:
            return
        self._read_output()
        self._read_errors()
        for rest in (self._output, self._errors):
            if rest.strip():
                self.logged.emit(text_of(rest))
        self._end(-code if status == qt.QProcess.CrashExit else code)

    def _on_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self.logged.emit(f"{self.command[0]}: {self._process.errorString()}")
            self._end(None)

    def _end(self, code: int | None) -> None:
        if not self._is_over:
            self._is_over = True
            self.ended.emit(code)


def text_of(line: bytes) -> str:
    """Read a line that may hold anything."""
    return line.decode("utf-8", errors="replace").rstrip("\r\n")


def _as_bytes(data: Any) -> bytes:
    """Give the content of a QByteArray, which PythonQt may have turned into bytes already."""
    if isinstance(data, bytes):
        return data
    with contextlib.suppress(AttributeError):
        return bytes(data.data() or b"")
    return bytes(data)
