"""Whether the viewer stays smooth while the engine works: a heartbeat in the GUI thread.

    python benchmarks/smoothness.py            # opens a display of its own where there is none
    python benchmarks/smoothness.py --json
    python benchmarks/smoothness.py --events 300 --seconds 3

A real viewer opens the panel (timed, with every import, in a fresh process) and the torso sample.
A timer then beats in the GUI thread every 5 ms, and a stall is how much later than that a beat
comes. It beats while nothing happens; while a label layer of the sample's size is redrawn five
times a second with the panel at rest, which is what napari itself costs here; while the real engine
segments the sample with its slabs drawn as they come; and while a scripted engine says what a long
fine-tune says, a loss or a Dice and a progress every few milliseconds. CPU is what the GUI thread
itself computed between two beats: other work on the machine changes it little, and where it is
small beside the stall, the thread was waiting for a core or for the display.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

BEAT_MS = 5
EVENTS, SECONDS, LONGEST_S = 3000, 5.0, 600.0
FLAG = "--in-this-display"
SCREEN = "-screen 0 1600x1000x24 +extension GLX"
_PYTHON_OF_THE_ENGINE = ("torch", "monai")


@dataclass(frozen=True)
class Row:
    """What was felt in one phase.

    Attributes
    ----------
    what : str
        What went on.
    beats : int
        Heartbeats in it.
    p99_ms, worst_ms : float
        How late a beat came: 99th percentile over all beats, and most.
    p99_cpu_ms, worst_cpu_ms : float
        What the GUI thread computed between two beats.
    seconds : float
        How long it took; for the opening of the panel all there is.
    cpu_seconds : float
        CPU time of the GUI thread.
    engine_modules : int
        How many of torch and monai the GUI process had imported by then.
    """

    what: str
    beats: int
    p99_ms: float
    worst_ms: float
    p99_cpu_ms: float
    worst_cpu_ms: float
    seconds: float
    cpu_seconds: float
    engine_modules: int

    @property
    def line(self) -> str:
        """The row of a Markdown table."""
        return (
            f"| {self.what} | {self.beats} | {self.p99_ms:.0f} | {self.worst_ms:.0f} "
            f"| {self.p99_cpu_ms:.0f} | {self.worst_cpu_ms:.0f} | {self.seconds:.2f} "
            f"| {self.cpu_seconds:.2f} | {self.engine_modules} |"
        )


HEADER = (
    "| what | beats | p99 ms | worst ms | p99 CPU ms | worst CPU ms | s | CPU s | engine modules |"
    "\n|---|---|---|---|---|---|---|---|---|"
)


class Heartbeat:
    """Beats in the GUI thread and notes how late."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._late: list[float] = []
        self._cpu: list[float] = []
        self._began = self._last = (time.perf_counter(), time.thread_time())
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Begin to count."""
        self._began = self._last = (time.perf_counter(), time.thread_time())
        self._timer.start()

    def stop(self, what: str) -> Row:
        """End, and give what was felt."""
        self._beat()
        self._timer.stop()
        seconds, cpu = (a - b for a, b in zip(self._last, self._began, strict=True))
        late, busy = np.array(self._late), np.array(self._cpu)
        return Row(
            what,
            len(late),
            float(np.percentile(late, 99)),
            float(late.max()),
            float(np.percentile(busy, 99)),
            float(busy.max()),
            seconds,
            cpu,
            engine_modules(),
        )

    def _beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self._late.append(max((now[0] - self._last[0]) * 1e3 - BEAT_MS, 0.0))
        self._cpu.append((now[1] - self._last[1]) * 1e3)
        self._last = now


class ScriptedEngine:
    """Says what a long fine-tune says; it computes nothing."""

    def __init__(self, events: int, pause_s: float = 0.002) -> None:
        self._events, self._pause_s = events, pause_s
        self._is_cancelled = threading.Event()
        self.thread: int | None = None

    def run(self, job: Any) -> Iterator[Any]:
        """Give the events of a training, and last an error, for there is no checkpoint."""
        from napari_hybridseg.errors import HybridSegError
        from napari_hybridseg.events import Metric, Progress

        self.thread = threading.get_ident()
        if job.kind == "fine-tune":
            for step in range(self._events // 2):
                if self._is_cancelled.wait(self._pause_s):
                    break
                name = "Dice of the centres" if step % 10 == 9 else "loss"
                yield Metric(name, 0.5 + 0.4 / (1 + step / 100), step)
                yield Progress("Learning", step, self._events // 2, eta_s=1.0)
        raise HybridSegError("The script is over.")

    def cancel(self) -> None:
        """Stop."""
        self._is_cancelled.set()

    finish = pause = go_on = close = cancel


def engine_modules() -> int:
    """Count what belongs into the engine's process only."""
    return sum(name in sys.modules for name in _PYTHON_OF_THE_ENGINE)


def wait_until(is_so: Callable[[], bool], longest_s: float = LONGEST_S) -> None:
    """Let the window live, in Qt's own loop, until something is so.

    Raises
    ------
    TimeoutError
        If it takes too long.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    loop, look, end = QEventLoop(), QTimer(), time.monotonic() + longest_s
    look.setInterval(20)
    look.timeout.connect(lambda: loop.quit() if is_so() or time.monotonic() > end else None)
    look.start()
    loop.exec_() if hasattr(loop, "exec_") else loop.exec()
    look.stop()
    if not is_so():
        raise TimeoutError("the panel did not get there")


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end)


def felt(what: str, act: Callable[[], None]) -> Row:
    """Do something with the heartbeat on."""
    heart = Heartbeat()
    heart.start()
    act()
    return heart.stop(what)


def opened() -> tuple[Any, Any, Row]:
    """Open a viewer and the panel; give both and what the panel cost."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    wait(1.0)
    began = time.perf_counter(), time.thread_time()
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    wall, cpu = (
        a - b for a, b in zip((time.perf_counter(), time.thread_time()), began, strict=True)
    )
    row = Row("opening the panel", 0, 0.0, wall * 1e3, 0.0, cpu * 1e3, wall, cpu, engine_modules())
    return viewer, panel, row


def run(events: int = EVENTS, seconds: float = SECONDS) -> Iterator[Row]:
    """Give the rows as they come; needs a display."""
    from qtpy.QtCore import QSettings

    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "napari.yaml")
        store = QSettings(str(Path(folder) / "settings.ini"), QSettings.Format.IniFormat)
        with patch("napari_hybridseg.widgets.settings.QSettings", lambda *_: store):
            viewer, panel, row = opened()
            yield row
            yield felt("nothing goes on", lambda: wait(seconds))
            viewer.open_sample("napari-hybridseg", "torso_a")
            wait(2.0)
            yield felt("a label layer is redrawn, panel at rest", lambda: redraw(viewer, seconds))
            yield felt("a run on the torso sample", lambda: segment(panel))
            wait_until(lambda: not panel.state.phase.is_busy)
            wait(1.0)
            yield felt(f"a fine-tune of {events} events", lambda: teach(panel, events))
            viewer.close()


def redraw(viewer: Any, seconds: float) -> None:
    """Redraw a label layer of the image's size as a run does, without a run."""
    image = viewer.layers[0]
    layer = viewer.add_labels(np.zeros(image.data.shape, np.uint8), scale=image.scale)
    end, row = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        layer.data[row % len(layer.data)] = 1 + row % 5
        layer.refresh(extent=False)
        row += 1
        wait(0.2)
    viewer.layers.remove(layer)


def segment(panel: Any) -> None:
    """Run the real engine to the end, with its slabs drawn and its scores."""
    panel.segment.button.click()
    if not panel.state.phase.is_busy:
        raise RuntimeError(f"the run did not start: {panel.state.message}")
    wait_until(lambda: not panel.state.phase.is_busy)
    if panel.state.phase.value != "done":
        raise RuntimeError(panel.state.message)


def teach(panel: Any, events: int) -> None:
    """Take a scripted fine-tune through the Teach section, plot and all."""
    from napari_hybridseg.widgets import teach_controller
    from napari_hybridseg.widgets.teach_state import SetFacts

    panel.teach_fold.set_open(True)
    facts = SetFacts(Path("corrections"), ("case",))
    runner = panel._runner
    real, runner._engine = runner._engine, ScriptedEngine(events)
    try:
        with patch.object(teach_controller, "read_set", lambda folder: facts):
            panel.teach.controller.choose_set(facts.folder)
            panel.teach.controller.fine_tune()
            if not panel.state.phase.is_busy:
                raise RuntimeError(f"the fine-tune did not start: {panel.state.message}")
            wait_until(lambda: not panel.state.phase.is_busy)
    finally:
        runner._engine = real
    drawn = sum(map(len, panel.teach.state.curves.values()))
    if drawn != events // 2:
        raise RuntimeError(f"{drawn} of {events // 2} points arrived: {panel.state.message}")


def has_display() -> bool:
    """Say whether windows can be opened here."""
    return sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def rows(events: int = EVENTS, seconds: float = SECONDS) -> list[Row]:
    """Give all rows, from a process with a display of its own.

    Raises
    ------
    RuntimeError
        If there is no display and no Xvfb, or the viewer failed.
    """
    arguments = ["--events", str(events), "--seconds", str(seconds), "--json", FLAG]
    command = [sys.executable, __file__, *arguments]
    if not has_display():
        if shutil.which("xvfb-run") is None:
            raise RuntimeError("There is no display; install xvfb to give the viewer one.")
        command = ["xvfb-run", "-a", "-s", SCREEN, *command]
    environment = os.environ | {"LIBGL_ALWAYS_SOFTWARE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # who opens it twice has the bytecode
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-5:]))
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(FLAG, action="store_true", help=argparse.SUPPRESS, dest="is_here")
    options = parser.parse_args()
    give = run if options.is_here else rows
    if options.json:
        print(json.dumps([asdict(row) for row in give(options.events, options.seconds)]))
        return
    print(f"load {os.getloadavg()[0]:.1f}\n{HEADER}")
    for row in give(options.events, options.seconds):
        print(row.line, flush=True)


if __name__ == "__main__":
    main()
