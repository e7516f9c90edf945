"""Run in a process of its own: a napari in which somebody corrects until it is killed.

    python -m tests.widgets.killed_panel SCAN CHECKPOINT JOURNALS

Paints voxel after voxel, and as many with strokes. After every one it prints how many are painted,
and how many of them the autosave says are safe.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_hybridseg.widgets import correct_part, dock
from napari_hybridseg.widgets.preferences import Preferences

from .conftest import FakeEngine

INTERVAL_S = 0.5
ORGAN, SAID = 2, 1


def main() -> None:
    """Correct for ever."""
    scan, checkpoint, journals = map(Path, sys.argv[1:])
    dock.start_engine = lambda on_log: FakeEngine()  # type: ignore[assignment]
    correct_part.autosave_folder = lambda: journals
    Preferences.autosave_seconds = INTERVAL_S  # type: ignore[assignment,method-assign]
    viewer = napari.Viewer(show=False)
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    viewer.open(str(scan), plugin="napari-hybridseg")
    panel.checkpoint.chosen.emit(checkpoint)
    panel.correct.section.begin_button.click()
    now = panel.correct.controller.correction
    while now.session.autosave is None:
        QApplication.processEvents()
    strokes = now.strokes.begin(SAID)
    shape, painted, safe = now.layer.data.shape, 0, 0
    while True:
        place = np.unravel_index(painted % now.layer.data.size, shape)
        voxel = tuple(np.array([n]) for n in place)
        now.layer.data_setitem(voxel, ORGAN)
        strokes.data_setitem(voxel, SAID)
        painted += 1
        began = time.monotonic()
        while time.monotonic() - began < 0.02:
            QApplication.processEvents()
        safe = painted if now.session.autosave.is_saved else safe
        sys.stdout.write(f"{painted} {safe}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
