"""The engine process as its client holds it: started, spoken to, listened to, ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Optional

from napari_hybridseg.engine.failures import EngineDied
from napari_hybridseg.engine.protocol import LONGEST_LINE, Reply, parse_reply

LogCallback = Callable[[str], None]

LOG_LINES = 200

_Replies = queue.SimpleQueue[Optional[Reply]]
_POLL_S = 0.2
_LAST_LOG_S = 1.0


class Log:
    """The last lines that engine processes printed.

    Parameters
    ----------
    callback : callable or None
        Gets every line as well, in whichever thread reads it.
    """

    def __init__(self, callback: LogCallback | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._callback = callback

    def __call__(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)
        if self._callback is not None:
            self._callback(line)

    def tail(self) -> str:
        """Give the last lines."""
        return "\n".join(self._lines.copy())


class EngineProcess:
    """One engine process. Its end, however it comes, is the end of its replies.

    It is the first of its own process group, and goes with all of its children.

    Parameters
    ----------
    command : sequence of str
        What starts it.
    grace_s : float
        How long it is given to end by itself when it is no longer needed.
    on_log : callable
        Gets every line that it prints, in threads of its own.
    environment : mapping or None
        Variables that it gets besides this process's own.

    Raises
    ------
    EngineDied
        If it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        grace_s: float,
        on_log: LogCallback,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._is_killed = False
        self._popen = _start(command, environment or {})
        self._replies: _Replies = queue.SimpleQueue()
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        # the threads do not hold this object: it ends its process when it is forgotten
        self._log_thread = _thread(_read_log, self._popen.stderr, on_log)
        _thread(_read_replies, self._popen.stdout, self._replies, on_log)
        self._end = weakref.finalize(self, _end, self._popen, grace_s)

    @property
    def is_alive(self) -> bool:
        """Whether it can still be given a job."""
        return not self._is_killed and self._end.alive and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def say(self, line: bytes) -> None:
        """Send a line; if it is gone, its replies will tell."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._popen.stdin.write(line)
            self._popen.stdin.flush()

    def replies(self, is_overdue: Callable[[], bool]) -> Iterator[Reply]:
        """Give what it says, as it comes, until it ends; once ``is_overdue``, kill it."""
        while (reply := self._next_reply(is_overdue)) is not None:
            yield reply
        self._replies.put(None)

    def _next_reply(self, is_overdue: Callable[[], bool]) -> Reply | None:
        is_gone = False
        while not is_gone:
            is_gone = self._popen.poll() is not None
            # when it is gone, a child of it may still hold the pipe open
            if is_gone or is_overdue():
                self.kill()
            with contextlib.suppress(queue.Empty):
                return self._replies.get(timeout=_POLL_S)
        return None

    def kill(self) -> None:
        """End it and its children at once."""
        self._is_killed = True
        _kill_family(self._popen)

    def close(self) -> int:
        """End it, by itself if it can in time, and give its exit code."""
        self._end()
        self._log_thread.join(_LAST_LOG_S)
        return self._popen.wait()


def _start(command: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # a file in the folder where the viewer was started must not stand in for a module
    environment = {"PYTHONSAFEPATH": "1", **os.environ, **more}
    flags = 0
    if sys.platform == "win32":
        flags = (
            subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.CREATE_NO_WINDOW
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            creationflags=flags,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise EngineDied(
            f"The engine could not be started as {' '.join(command)!r} ({error}); check the "
            "installation."
        ) from error


def _thread(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name=target.__name__, daemon=True)
    thread.start()
    return thread


def _read_replies(pipe: IO[bytes], replies: _Replies, on_log: LogCallback) -> None:
    try:
        for line in iter(partial(pipe.readline, LONGEST_LINE), b""):
            reply = parse_reply(line)
            if reply is not None:
                replies.put(reply)
            elif line.strip():
                on_log(_text(line))
    finally:
        replies.put(None)


def _read_log(pipe: IO[bytes], on_log: LogCallback) -> None:
    for line in iter(partial(pipe.readline, LONGEST_LINE), b""):
        on_log(_text(line))


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r\n")


def _end(popen: subprocess.Popen[bytes], grace_s: float) -> None:
    """Let a process end by closing its input; after the grace period, end it."""
    assert popen.stdin is not None
    with contextlib.suppress(OSError):
        popen.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        popen.wait(grace_s)
    _kill_family(popen)
    popen.wait()


def _kill_family(popen: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        ask = ["taskkill", "/F", "/T", "/PID", str(popen.pid)]
        subprocess.run(ask, capture_output=True, check=False)
        return
    # its group outlives it while it has children; when it has none there is no such group
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)
