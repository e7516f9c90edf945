"""Take the screenshots of docs/explain.md: what each view looks like in napari.

Run it with a display, for example::

    LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python docs/make_explain_screenshots.py [NAME ...]

``integrated-gradients`` takes two minutes of a core, and far more where other work takes the cores
too and threads wait for each other: ``OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0`` helps then.

They show the volume of ``make_explain_pictures.py``, and the voxel is clicked as a user would.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import napari
import numpy as np
from make_explain_pictures import ANTERIOR, DATA, HELD_OUT, IN_ANTERIOR
from make_screenshots import IMAGES, Photographer, use_settings_of_its_own, wait, wait_until

from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.widgets.layer_geometry import grid_of_layer
from napari_hybridseg.widgets.organ_tour import go_to

WINDOW = (1580, 960)


class Shot(NamedTuple):
    """One screenshot: whose network, which view, and what is chosen for it."""

    name: str
    checkpoint: str
    view: str
    options: dict[str, Any]
    clicks: bool = False
    turned: bool = False


_MED, _COTR, _FUSE = "hippocampus-medformer-3d", "hippocampus-cotr", "hippocampus-transfuse-s"
_UX = "hippocampus-uxnet-3d"
_LAST = {"place": "up2.0"}
SHOTS = (
    Shot("token-map", _MED, "token-map", {**_LAST, "token": 27}),
    Shot("winning-token", _MED, "winning-token", _LAST),
    Shot("voxel-tokens", _MED, "voxel-tokens", _LAST, clicks=True),
    Shot("token-organs", _MED, "token-organs", _LAST),
    Shot("token-similarity", _MED, "token-similarity", _LAST),
    Shot("fusion-attention", _MED, "fusion-attention", {}),
    Shot("uncertain-regions", _MED, "uncertain-regions", {}),
    Shot("sampling-points", _COTR, "sampling-points", {}, clicks=True, turned=True),
    Shot("influence", _COTR, "influence", {"organ": ANTERIOR}),
    Shot("spatial-attention", _FUSE, "spatial-attention", {}),
    Shot("channel-attention", _FUSE, "channel-attention", {}),
    Shot("attention-gate", _FUSE, "attention-gate", {}),
    Shot("attention-rollout", _FUSE, "attention-rollout", {}),
    Shot("patch-attention", _FUSE, "patch-attention", {}, clicks=True),
    Shot("receptive-field", _UX, "receptive-field", {}, clicks=True),
    Shot("grad-cam", _UX, "grad-cam", {"organ": ANTERIOR}),
    Shot("integrated-gradients", _UX, "integrated-gradients", {"organ": ANTERIOR}),
    Shot("entropy", _UX, "entropy", {}),
    Shot("margin", _UX, "margin", {}),
    Shot("mirror-disagreement", _UX, "mirror-disagreement", {}),
)


def main(wished: list[str]) -> None:
    """Take the screenshots, or those that are named."""
    with TemporaryDirectory() as folder:
        use_settings_of_its_own(Path(folder))
        stage = Stage()
        photograph = Photographer(stage.viewer, IMAGES)
        for shot in SHOTS:
            if not wished or shot.name in wished:
                stage.play(shot)
                photograph(f"explain-napari-{shot.name}")
                sys.stderr.write(f"{shot.name}: {stage.panel.status.line.text()}\n")
        stage.viewer.close()


class Stage:
    """A viewer with the volume and the panel, and what a user does with them."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.open(DATA / HELD_OUT, plugin="napari-hybridseg")
        self.layer = self.viewer.layers[0]
        _, self.panel = self.viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
        self.panel.segment_fold.set_open(False)
        self.panel.explain_fold.set_open(True)
        self.part = self.panel.explain
        wait(2)
        self.viewer.reset_view()

    def play(self, shot: Shot) -> None:
        """Choose the network and the view, show it, and go where something is seen."""
        self.panel.checkpoint.chosen.emit(
            shipped_checkpoints_folder() / f"{shot.checkpoint}.safetensors"
        )
        self.viewer.dims.ndisplay = 2
        self.part.section.view_chosen.emit(shot.view)
        chosen = {"point": None, **shot.options}
        options = self.part.state.options.model_copy(update=chosen)
        self.part.section.options_chosen.emit(options)
        go_to(self.viewer, self.world(IN_ANTERIOR))
        if shot.clicks:
            self.part.section.pick_button.click()
            self.click(self.world(IN_ANTERIOR))
        else:
            self.part.section.button.click()
        wait(0.5)
        wait_until(lambda: not self.panel.state.phase.is_busy)
        wait(1)
        self.viewer.reset_view()  # the chart takes room from the canvas
        if shot.turned:
            self.viewer.dims.ndisplay = 3
            self.viewer.scene.camera.angles = (0, 30, 60)
            self.viewer.reset_view(reset_camera_angle=False)

    def world(self, point_mm: tuple[float, float, float]) -> np.ndarray:
        """Give where a point, LPS millimetres, is shown."""
        grid = grid_of_layer(self.layer)
        return np.asarray(self.layer.data_to_world(grid.shown.index(np.asarray(point_mm))))

    def click(self, world: np.ndarray) -> None:
        """Press and let go of the mouse where a place of the world is drawn."""
        wait(0.5)
        canvas = self.viewer.window._qt_viewer.canvas
        transform = canvas.view.transform * canvas.view.scene.transform
        x, y = transform.map((world[2], world[1], 0, 1))[:2]
        events = canvas._scene_canvas.events
        events.mouse_press(pos=(x, y), modifiers=(), button=0)
        events.mouse_release(pos=(x, y), modifiers=(), button=0)


if __name__ == "__main__":
    main(sys.argv[1:])
