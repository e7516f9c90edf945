"""Making this plugin the one that opens medical files: napari's own reader claims them too."""

from __future__ import annotations

from napari.settings import get_settings
from napari.utils.notifications import show_info

from napari_hybridseg.formats import supported_extensions
from napari_hybridseg.widgets.preferences import PLUGIN


def always_open_here() -> None:
    """Set this plugin for all endings that it reads, so that napari asks no more.

    Folders are left alone: they may hold anything.
    """
    plugins = get_settings().plugins
    ours = {f"*{extension}": PLUGIN for extension in supported_extensions()}
    plugins.extension2reader = {**plugins.extension2reader, **ours}
    show_info("Medical files open with HybridSeg from now on. Preferences > Plugins takes it back.")
