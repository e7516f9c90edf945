"""Show the Slicer face's panel, with the real engine on a real patient.

It needs the environment of ``make test-slicer`` (slicer-core and PySide6) and a Python with the
engine::

    HYBRIDSEG_ENGINE_PYTHON=.venv/bin/python .venv-slicer/bin/python docs/make_slicer_panel.py \
        hippocampus_001.nii.gz hippocampus_001_labels.nii.gz

The widget, the .ui file and the scene are the real ones; Slicer's application around them is the
tests' double, so Slicer's own look differs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images" / "slicer-panel.png"
WIDTH, GAP = 500, 16
FIRST_OF_SECOND_COLUMN = "explainSection"
FOLDERS = tempfile.TemporaryDirectory()
LONGEST_S = 1200
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "slicer_extension")]

import double  # noqa: E402

DOUBLE = double.install()
double.application.add_module("HybridSeg", ROOT / "slicer_extension" / "HybridSeg")

import qt  # noqa: E402
import slicer  # noqa: E402
from panels import OpenModule  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402
from real_engine import WORKER, load  # noqa: E402
from waiting import wait_until  # noqa: E402

from napari_hybridseg.resources import shipped_checkpoints_folder  # noqa: E402


class Patches:
    """Sets attributes for good, where a test would take them back."""

    def setattr(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute."""
        setattr(owner, name, value)


class SegmentEditor:
    """Stands where the Segment Editor is."""

    def setSegmentationNode(self, node: Any) -> None:
        """Nothing is painted by hand here."""

    def setSourceVolumeNode(self, node: Any) -> None:
        """Nothing is painted by hand here."""


def finish(module: OpenModule) -> None:
    """Wait for a job, and say how it ended."""
    module.wait_until_done(LONGEST_S)
    sys.stdout.write(module.ui.statusLine.text + "\n")


def paint_the_truth(node: Any, reference: Any, volume: Any) -> None:
    """Correct the first organ by the reference, in half of the slices."""
    key = node.GetSegmentation().GetSegmentIDs()[0]
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, key, volume).copy()
    half = array.shape[0] // 2
    array[:half] = slicer.util.arrayFromVolume(reference)[:half] == 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), node, key, volume)


def work(module: OpenModule, image: Path, labels: Path) -> None:
    """Do what a user does, from top to bottom, up to an accepted case."""
    volume, ui = load(image), module.ui
    reference = load(labels, "vtkMRMLLabelMapVolumeNode")
    reference.SetName("reference")
    module.choose(ui.volumeSelector, volume)
    folder = shipped_checkpoints_folder()
    module.controller.choosing.checkpoint(folder / "hippocampus-utnetv2-3d.safetensors")
    module.choose(ui.referenceSelector, reference)
    wait_until(lambda: module.state.cost is not None and module.state.cost.seconds, LONGEST_S)
    module.segment()
    finish(module)
    ui.doubtButton.click()
    finish(module)
    ui.correctButton.click()
    paint_the_truth(module.controller.parameters.reference("Correction"), reference, volume)
    qt.QFileDialog.answers = [str(Path(FOLDERS.name) / "my corrections")]
    ui.setButton.click()
    ui.acceptButton.click()
    finish(module)


def grab(module: OpenModule) -> QtGui.QImage:
    """Draw the panel in two columns, with all its sections open."""
    for section in ("explain", "correct", "teach"):
        getattr(module.ui, f"{section}Section").collapsed = False
    parent = module.parent
    layout = QtWidgets.QWidget.layout(parent)
    height = 2400
    for _ in range(3):  # tables and wrapped lines settle with the width
        QtWidgets.QWidget.resize(parent, WIDTH, height)
        slicer.app.processEvents()
        height = max(layout.totalHeightForWidth(WIDTH), layout.totalSizeHint().height())
    QtWidgets.QWidget.resize(parent, WIDTH, height)
    slicer.app.processEvents()
    picture = QtWidgets.QWidget.grab(parent).toImage()
    second = getattr(module.ui, FIRST_OF_SECOND_COLUMN)
    cut = QtWidgets.QWidget.mapTo(second, parent, QtCore.QPoint(0, 0)).y()
    tall = max(cut, height - cut)
    result = QtGui.QImage(2 * WIDTH + GAP, tall, QtGui.QImage.Format.Format_RGB32)
    result.fill(picture.pixelColor(1, 1))
    painter = QtGui.QPainter(result)
    painter.drawImage(0, 0, picture, 0, 0, WIDTH, cut)
    painter.drawImage(WIDTH + GAP, 0, picture, 0, cut, WIDTH, height - cut)
    painter.end()
    return result


def main(image: Path, labels: Path) -> None:
    """Make the picture."""
    settings = QtCore.QSettings
    settings.setDefaultFormat(settings.Format.IniFormat)
    settings.setPath(settings.Format.IniFormat, settings.Scope.UserScope, FOLDERS.name)
    SegmentEditor.editor = SegmentEditor()  # type: ignore[attr-defined]
    slicer.util.selectModule = lambda name: None
    slicer.util.getModuleWidget = lambda name: SegmentEditor
    engine = (os.environ.get("HYBRIDSEG_ENGINE_PYTHON", sys.executable), *WORKER)
    module = OpenModule(Patches(), engine)
    work(module, image, labels)
    grab(module).save(str(TARGET))
    module.close()


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
