"""Take the pictures of correcting and teaching: the loop of docs/tutorial.md, in napari.

Run it with a display, for example::

    LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" \
        python docs/make_correct_pictures.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import napari
import numpy as np
from make_screenshots import IMAGES, Photographer, use_settings_of_its_own, wait, wait_until

from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.widgets import correct_part, teach_controller

WINDOW = (1400, 1150)


def main() -> None:
    """Drive the loop and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="of the fine-tune; 0 for none")
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        use_settings_of_its_own(Path(folder))
        correct_part.autosave_folder = lambda: Path(folder) / "autosave"
        teach_controller.user_checkpoints_folder = lambda: Path(folder) / "checkpoints"
        photograph(arguments, Path(folder))


def photograph(arguments: argparse.Namespace, folder: Path) -> None:
    """Segment, correct, repair, accept, fine-tune."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    viewer.open_sample("napari-hybridseg", "torso_b")
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    shoot = Photographer(viewer, arguments.out)
    for fold in (panel.segment_fold, panel.review_fold, panel.explain_fold):
        fold.set_open(False)
    panel.correct_fold.set_open(True)
    chosen = next(c.key for c in panel.state.checkpoints if c.text.startswith("torso"))
    panel.checkpoint.chosen.emit(Path(chosen))
    panel.segment.button.click()
    wait_until(lambda: not panel.state.phase.is_busy)
    panel.review_fold.set_open(False)
    correct(viewer, panel, shoot, folder)
    if arguments.steps:
        teach(panel, shoot, arguments.steps)
    viewer.close()


def correct(viewer: Any, panel: Any, shoot: Photographer, folder: Path) -> None:
    """Paint, let a tool work, say what is wrong and have it repaired, accept."""
    section = panel.correct.section
    section.begin_button.click()
    wait(1)
    layer = viewer.layers["torso_b · correction"]
    organ, where = largest_error(viewer, layer)
    panel.correct.controller.choose_organ(organ)
    viewer.dims.set_point(0, layer.data_to_world(where)[0])
    viewer.reset_view()
    section.tools_fold.set_open(True)
    layer.mode = "paint"
    layer.brush_size = 6
    with layer.block_history():
        layer.paint(where, organ)
    wait(1)
    wait_until(lambda: not panel.state.phase.is_busy)
    show(panel, section)
    shoot("correct-paint")
    section.tools_fold.set_open(False)
    section.strokes_fold.set_open(True)
    draw(panel, organ, where)
    wait_until(lambda: not panel.state.phase.is_busy)
    show(panel, section)
    shoot("correct-strokes")
    section.strokes.repair_button.click()
    wait_until(lambda: not panel.state.phase.is_busy and not panel.correct.state.working)
    shoot("correct-repaired")
    section.set_chosen.emit(folder / "corrections")
    section.accept_button.click()
    wait_until(lambda: panel.correct.state.correction is None)
    section.strokes_fold.set_open(False)
    shoot("correct-accepted")


def largest_error(viewer: Any, layer: Any) -> tuple[int, np.ndarray]:
    """Give an organ and a voxel that the network missed most."""
    truth = np.asarray(viewer.layers["torso_b_reference"].data)
    lungs = (7, 8)  # their errors are specks
    missed = (layer.data == 0) & (truth > 0) & ~np.isin(truth, lungs)
    plane = int(missed.sum(axis=(1, 2)).argmax())
    organ = int(np.bincount(truth[plane][missed[plane]]).argmax())
    places = np.argwhere(missed[plane] & (truth[plane] == organ))
    middle = places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()]
    return organ, np.array([plane, *middle])


def draw(panel: Any, organ: int, where: np.ndarray) -> None:
    """Say with a short stroke that this is the organ."""
    said = next(s for s in panel.correct.state.statements if s.organ == organ and not s.is_not)
    panel.correct.assist.say(said.value)
    strokes = panel.correct.controller.correction.strokes.layer
    strokes.brush_size = 2
    with strokes.block_history():
        for step in range(-4, 5):
            strokes.paint((where[0], where[1], where[2] + step), said.value)
    wait(1)


def teach(panel: Any, shoot: Photographer, steps: int) -> None:
    """Fine-tune on the case."""
    panel.correct_fold.set_open(False)
    panel.teach_fold.set_open(True)
    section = panel.teach.section
    options = FineTuneOptions(steps=steps, check_every=max(steps // 5, 1), minutes=None)
    panel.teach.controller.choose_options(options)
    section.more.set_open(True)
    shoot("teach-before")
    section.more.set_open(False)
    section.button.click()
    curves = panel.teach.state
    wait_until(lambda: len(curves.curves.get("loss", ())) > 2 or not panel.state.phase.is_busy)
    show(panel, section)
    shoot("teach-running")
    wait_until(lambda: not panel.state.phase.is_busy)
    wait(1)
    show(panel, section)
    shoot("teach-done")


def show(panel: Any, section: Any) -> None:
    """Scroll the panel to the foot of a section."""
    wait(0.3)
    panel._scroll.ensureWidgetVisible(section, 0, 0)


if __name__ == "__main__":
    main()
