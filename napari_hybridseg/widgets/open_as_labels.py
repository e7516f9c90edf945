"""Opening a file as labels that does not look like any."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_hybridseg.formats import supported_extensions
from napari_hybridseg.volume import LabelMap, load_label_map
from napari_hybridseg.widgets.layer_data import label_map_layer
from napari_hybridseg.widgets.notices import tell_notes
from napari_hybridseg.widgets.questions import read_or_resample
from napari_hybridseg.widgets.settings import Settings

if TYPE_CHECKING:
    import napari.viewer


def open_as_labels(viewer: napari.viewer.Viewer) -> None:
    """Ask for files and open each as a Labels layer; an irregular grid is resampled if wanted.

    Raises
    ------
    FormatError, VolumeError
        If a file cannot be read truly, or is no label map; napari shows the message.
    """
    settings = Settings()
    patterns = " ".join(f"*{extension}" for extension in supported_extensions())
    names, _ = QFileDialog.getOpenFileNames(
        None, "Open as labels", settings.folder("labels"), f"Label maps ({patterns})"
    )
    for name in names:
        settings.set_folder("labels", Path(name).parent)
        label_map = read_or_resample(partial(_load, name))
        if label_map is not None:
            tell_notes(label_map.name, label_map.notes)
            data, attributes, _ = label_map_layer(label_map)
            viewer.add_labels(data, **attributes)


def _load(name: str, resample: bool) -> LabelMap:
    return load_label_map(name, resample=resample)
