"""Take the screenshots of the documentation: the panel in napari, idle to done.

Run it with a display, for example::

    LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s "-screen 0 3840x2160x24 +extension GLX" \
        python docs/make_screenshots.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import napari
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
from scipy.spatial.transform import Rotation

from napari_hybridseg.formats import read_image, write_image
from napari_hybridseg.widgets import settings as panel_settings

IMAGES = Path(__file__).parent / "images"
VOLUMES = Path(__file__).parents[1] / "sample_data" / "volumes"
WINDOW = (1280, 800)
LARGE_WINDOW = (1920, 1080)  # in the units of a screen that is scaled by two
LONGEST_RUN_S = 600


def main() -> None:
    """Drive the panel through a run and photograph it on the way."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        use_settings_of_its_own(Path(folder))
        photograph(arguments, Path(folder))


def photograph(arguments: argparse.Namespace, folder: Path) -> None:
    """Open the sample and the panel, and go through a run."""
    if arguments.large:
        os.environ["QT_SCALE_FACTOR"] = "2"
    viewer = napari.Viewer()
    viewer.window.resize(*(LARGE_WINDOW if arguments.large else WINDOW))
    if arguments.oblique:
        viewer.open(write_oblique(folder), plugin="napari-hybridseg")
    else:
        viewer.open_sample("napari-hybridseg", arguments.sample)
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    if arguments.checkpoint:
        panel.checkpoint.chosen.emit(arguments.checkpoint)
    shoot = Photographer(viewer, arguments.out)

    wait(2)
    viewer.reset_view()  # the panel has taken room from the canvas
    if arguments.large:
        run(panel)
        shoot("done-4k")
        viewer.close()
        return
    if arguments.oblique:
        panel.segment.button.click()
        wait_until(lambda: not panel.state.phase.is_busy)
        shoot("files-oblique")
        viewer.close()
        return
    shoot("idle")
    panel.segment.more.set_open(True)
    shoot("options")
    panel.segment.more.set_open(False)

    panel.segment.button.click()
    wait_until(lambda: panel.state.progress is None or panel.state.progress.done >= 2)
    shoot("running")
    wait_until(lambda: not panel.state.phase.is_busy and panel.state.score is not None)
    shoot("done")
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (0, 30, 60)
    viewer.reset_view(reset_camera_angle=False)
    shoot("done-3d")
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)
    viewer.reset_view()
    shoot("done-coronal")
    viewer.dims.order = (0, 1, 2)
    viewer.reset_view()

    panel.checkpoint.show_card()
    wait(0.5)
    for window in QApplication.topLevelWidgets():
        if window.windowTitle().startswith("Model card"):
            window.grab().save(str(arguments.out / "card.png"))
            window.close()

    broken = folder / "broken.safetensors"
    broken.write_bytes(b"not a checkpoint")
    panel.checkpoint.chosen.emit(broken)
    panel.status.fold.set_open(True)
    shoot("error")
    viewer.close()


def run(panel: Any) -> None:
    """Segment, and score against the reference."""
    panel.segment.button.click()
    wait_until(lambda: not panel.state.phase.is_busy and panel.state.score is not None)


def write_oblique(folder: Path) -> Path:
    """Write the sample with its grid turned by 30 degrees."""
    scan = read_image(VOLUMES / "torso_a.nii.gz")
    turn = Rotation.from_euler("x", 30, degrees=True).as_matrix()
    geometry = replace(scan.geometry, direction=tuple(turn.ravel()))
    path = folder / "oblique_torso.nii.gz"
    write_image(path, scan.array[0], geometry)
    return path


class Photographer:
    """Takes pictures of a viewer's window."""

    def __init__(self, viewer: Any, folder: Path) -> None:
        self._viewer = viewer
        self._folder = folder

    def __call__(self, name: str) -> None:
        """Save the window as it is now."""
        wait(1)
        path = self._folder / f"{name}.png"
        self._viewer.screenshot(str(path), canvas_only=False, flash=False)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default="torso_a", help="the sample to open")
    parser.add_argument("--checkpoint", type=Path, help="instead of the shipped one")
    parser.add_argument("--oblique", action="store_true", help="only the one of a tilted scan")
    parser.add_argument("--large", action="store_true", help="only the one for a 4K screen")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    return parser.parse_args()


def use_settings_of_its_own(folder: Path) -> None:
    """Show what a new user sees."""
    store = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    panel_settings.QSettings = lambda *_: store  # type: ignore[assignment,misc]


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Let the window live until something is so.

    Raises
    ------
    TimeoutError
        If it takes too long.
    """
    end = time.monotonic() + LONGEST_RUN_S
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("the panel did not get there")
        wait(0.02)


if __name__ == "__main__":
    main()
