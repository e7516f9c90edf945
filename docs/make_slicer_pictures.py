"""Render the Slicer face's result with Slicer's own views, off screen.

It needs an environment of its own (``pip install "trame-slicer[standalone]" pydantic platformdirs
scipy``) and a label map of the phantom, made by::

    hybridseg segment sample_data/volumes/torso_a.nii.gz -c torso-utnetv2-3d -o labels.nrrd
    python docs/make_slicer_pictures.py labels.nrrd

The segments are made by the extension's own code.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import slicer
import vtk
from trame_slicer.core import SlicerApp
from trame_slicer.views import DirectViewFactory, ViewLayoutDefinition, ViewProps, ViewType

ROOT = Path(__file__).resolve().parents[1]
TARGETS = (ROOT / "slicer_extension" / "Screenshots", ROOT / "docs" / "images")
SIZE = (760, 640)
CHECKPOINT = "torso-utnetv2-3d"


def open_slicer() -> Any:
    """Make this process enough of Slicer for the extension's scene code."""
    app = SlicerApp()
    slicer.mrmlScene = app.scene
    slicer.modules = types.SimpleNamespace(
        segmentations=types.SimpleNamespace(logic=lambda: app.segmentations_logic),
        volumes=types.SimpleNamespace(logic=lambda: app.volumes_logic),
    )
    app.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
    return app


def fill_scene(labels: Path) -> tuple[Any, Any]:
    """Put the phantom and its segmentation into the scene."""
    sys.path[:0] = [str(ROOT), str(ROOT / "slicer_extension" / "HybridSeg")]
    from HybridSegLib.bench.segmentations import show_label_map

    from napari_hybridseg.checkpoint import load_checkpoint
    from napari_hybridseg.volume import load_label_map

    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(ROOT / "sample_data" / "volumes" / "torso_a.nii.gz"))
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "torso_a")
    if not storage.ReadData(volume):
        raise SystemExit("the phantom could not be read")
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400, 40)
    card = load_checkpoint(ROOT / f"sample_data/checkpoints/{CHECKPOINT}.safetensors").card
    label_map = load_label_map(labels, card.labels)
    node = show_label_map(slicer.mrmlScene, label_map, volume, card.name)
    node.CreateClosedSurfaceRepresentation()
    look = node.GetDisplayNode()
    # off screen, a translucent filling would hide the scan: only the borders are drawn
    look.SetVisibility2DFill(False)
    look.SetSliceIntersectionThickness(3)
    return volume, node


def save(view: Any, name: str) -> None:
    """Render a view and write it."""
    view.render()
    window = view.render_window()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    for folder, prefix in zip(TARGETS, ("", "slicer-"), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(folder / f"{prefix}{name}.png"))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()


def main(labels: Path) -> None:
    """Make both pictures; the scene is filled first, because every change would be rendered."""
    app = open_slicer()
    volume, _ = fill_scene(labels)
    slice_view = app.view_manager.create_view(
        ViewLayoutDefinition(
            singleton_tag="Green",
            view_type=ViewType.SLICE_VIEW,
            properties=ViewProps(orientation="Coronal"),
        )
    )
    view_3d = app.view_manager.create_view(
        ViewLayoutDefinition(
            singleton_tag="ThreeD", view_type=ViewType.THREE_D_VIEW, properties=ViewProps()
        )
    )
    for view in (slice_view, view_3d):
        view.interactor().UpdateSize(*SIZE)
    slice_view.set_background_volume_id(volume.GetID())
    slice_view.fit_view_to_content()
    save(slice_view, "slice")
    view_3d.reset_focal_point()
    view_3d.reset_camera()
    save(view_3d, "three-d")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
