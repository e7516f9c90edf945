"""Opening a DICOM folder by name: a dropped one napari offers to its own reader too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_hybridseg.widgets.preferences import PLUGIN
from napari_hybridseg.widgets.settings import Settings

if TYPE_CHECKING:
    import napari.viewer


def open_dicom_folder(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder and open the series in it.

    Raises
    ------
    FormatError
        If it cannot be read truly; napari shows the message.
    """
    settings = Settings()
    name = QFileDialog.getExistingDirectory(None, "Open a DICOM folder", settings.folder("dicom"))
    if name:
        settings.set_folder("dicom", Path(name).parent)
        viewer.open(name, plugin=PLUGIN)
