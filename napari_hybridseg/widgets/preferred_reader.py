"""Making this plugin the one that opens medical files: napari's own reader claims them too."""

from __future__ import annotations

from napari.settings import get_settings
from napari.utils.notifications import show_info

from napari_hybridseg.formats import is_photograph, supported_extensions
from napari_hybridseg.widgets.preferences import PLUGIN


def always_open_here() -> None:
    """Set this plugin for all medical endings that it reads, so that napari asks no more.

    Folders and photographs are left alone: they may hold anything.
    """
    plugins = get_settings().plugins
    medical = [ending for ending in supported_extensions() if not is_photograph(f"x{ending}")]
    ours = {f"*{extension}": PLUGIN for extension in medical}
    plugins.extension2reader = {**plugins.extension2reader, **ours}
    show_info("Medical files open with HybridSeg from now on. Preferences > Plugins takes it back.")
