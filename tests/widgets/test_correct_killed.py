"""A napari that is killed in the middle of a stroke: the next one offers the correction."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

from napari_hybridseg.formats import write_image
from napari_hybridseg.geometry import Geometry

from .killed_panel import INTERVAL_S, ORGAN, SAID
from .test_correct import Corrector

ROOT = Path(__file__).parents[2]


def killed_napari(tmp_path: Path, journals: Path, checkpoint: Path, then_s: float) -> list[str]:
    """Let a napari be painted in and kill it; give what it said of every voxel."""
    size = (40, 40, 12)
    grid = Geometry(size, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    write_image(tmp_path / "scan.nii.gz", np.zeros(grid.shape, np.float32), grid)
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.widgets.killed_panel"),
            *(tmp_path / "scan.nii.gz", checkpoint, journals),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "NAPARI_CONFIG": str(tmp_path / "napari.yaml"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),  # where Linux keeps the user's choices
        },
    )
    assert running.stdout is not None
    said: list[str] = []
    for line in running.stdout:
        said.append(line)
        if int(line.split()[1]) > 20:  # something is safe, and painting goes on
            break
    time.sleep(then_s)
    os.kill(running.pid, signal.SIGKILL)
    rest, _ = running.communicate()
    assert running.returncode == -signal.SIGKILL
    return [line for line in (*said, *rest.splitlines(keepends=True)) if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_napari_loses_at_most_an_interval_and_the_next_offers_it(
    make_napari_viewer_proxy, qtbot, engine, tmp_path, journals, checkpoint_file
):
    then_s = 3 * INTERVAL_S + 0.1
    said = killed_napari(tmp_path, journals, checkpoint_file, then_s)
    painted, safe = map(int, said[-1].split())
    assert 0 < safe <= painted
    panel = Corrector(make_napari_viewer_proxy(), qtbot)
    panel.wait_until(lambda: len(panel.correct.state.recoverable) == 1)
    assert panel.widget.correct_fold.is_open
    (row,) = panel.correct.section.left.rows
    assert row.isVisibleTo(panel.widget)
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    restore = next(b for b in row.findChildren(QPushButton) if b.text() == "Restore")
    restore.click()
    panel.wait_until(lambda: "scan · correction" in panel.viewer.layers)
    found = np.asarray(panel.working.data).ravel()
    count = int((found == ORGAN).sum())
    assert safe <= count <= painted + 1
    assert (found[:count] == ORGAN).all()
    strokes = np.asarray(panel.viewer.layers["scan · strokes"].data).ravel()
    waiting = int((strokes == SAID).sum())
    assert safe <= waiting <= painted + 1
    assert (strokes[:waiting] == SAID).all()
    panel.wait_until(lambda: f"strokes of {waiting} voxels" in panel.line())
    panel.widget._close()
