"""What ``make demo`` runs: segment the sample in napari's own panel, score it, keep the results.

Writes the label map, the scores and a screenshot. With ``--stay`` napari remains open with the
result.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import napari
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

from napari_hybridseg.atomic import write_text
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.widgets.dock import HybridSegWidget
from napari_hybridseg.widgets.layer_book import key_of
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Phase, why_not_score

CHECKPOINT = "torso-utnetv2-3d.safetensors"
LABEL_MAP = "torso_a_labels.nii.gz"
LONGEST_RUN_S = 900
SETTINGS_FORMAT = QSettings.Format.IniFormat


class DemoError(HybridSegError):
    """The demo did not end as it should."""


def main() -> None:
    """Go through a whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder for the results")
    parser.add_argument("--stay", action="store_true", help="leave napari open")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        run(arguments.out, Path(folder) / "settings.ini", stay=arguments.stay)


def run(out: Path, settings_file: Path, *, stay: bool) -> None:
    """Segment, score, keep the results, and say how it went."""
    began = time.monotonic()
    viewer, panel = open_sample(settings_file)
    say("Segmenting the sample volume …")
    segment_and_score(panel)
    keep_results(viewer, panel, out)
    report = panel.state.score.report
    say(
        f"Mean Dice {report.mean_dice:.3f}, mean HD95 {report.mean_hd95_mm:.1f} mm over "
        f"{len(report.organs)} organs, {time.monotonic() - began:.0f} s after the start."
    )
    say(f"The label map, scores.csv and screenshot.png are in {out}/.")
    if stay:
        napari.run()
    else:
        viewer.close()


def open_sample(settings_file: Path) -> tuple[Any, Any]:
    """Open napari with the sample and the panel."""
    viewer = napari.Viewer()
    viewer.window.resize(1500, 920)
    viewer.open_sample("napari-hybridseg", "torso_a")
    # settings of its own: what the user chose last must not change the demo, nor the demo that
    panel = HybridSegWidget(viewer, Settings(QSettings(str(settings_file), SETTINGS_FORMAT)))
    viewer.window.add_dock_widget(panel, name="HybridSeg", area="right")
    wait_until(lambda: not panel.state.phase.is_busy, panel)
    panel.controller.choose_checkpoint(shipped_checkpoints_folder() / CHECKPOINT)
    return viewer, panel


def segment_and_score(panel: Any) -> None:
    """Press the button and wait for the table; the sample's reference is chosen already."""
    panel.segment.button.click()
    wait_until(lambda: bool(panel.state.label_map) and not panel.state.phase.is_busy, panel)
    if reason := why_not_score(panel.state):
        raise DemoError(reason)
    wait_until(lambda: panel.state.score is not None and not panel.state.phase.is_busy, panel)


def keep_results(viewer: Any, panel: Any, out: Path) -> None:
    """Write what a user would save by hand."""
    label_map = next(layer for layer in viewer.layers if key_of(layer) == panel.state.label_map)
    target = out / LABEL_MAP
    target.unlink(missing_ok=True)
    if not label_map.save(str(target), plugin="napari-hybridseg"):
        raise DemoError(f"{target} was not written.")
    write_text(out / "scores.csv", panel.state.score.report.to_csv(), overwrite=True)
    viewer.reset_view()
    wait(1.0)
    viewer.screenshot(str(out / "screenshot.png"), canvas_only=False, flash=False)


def wait_until(is_so: Callable[[], bool], panel: Any) -> None:
    """Let the window live until something is so."""
    end = time.monotonic() + LONGEST_RUN_S
    while not is_so():
        if panel.state.phase is Phase.FAILED:
            raise DemoError(panel.state.message)
        if time.monotonic() > end:
            raise DemoError(f"Nothing came for {LONGEST_RUN_S} seconds; {panel.state.message}")
        wait(0.05)


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def say(text: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except HybridSegError as error:
        sys.exit(str(error))
