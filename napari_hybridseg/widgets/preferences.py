"""What the user set on this plugin's page of napari's Preferences.

The page is the manifest's ``configurations``, which napari shows since 0.9. With an older napari,
or while the plugin is disabled, the defaults of the engine's jobs hold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from napari_hybridseg.metrics import Convention
from napari_hybridseg.resources import CACHE_VARIABLE, cache_folder

PLUGIN = "napari-hybridseg"
_AUTOSAVE_S = 5.0


class ScoreRules(NamedTuple):
    """How a label map is compared with a reference."""

    convention: Convention
    tolerance_mm: float


class Preferences:
    """The page as it is now; nothing is kept here."""

    @property
    def score_rules(self) -> ScoreRules:
        """How label maps are scored."""
        page = _page()
        if page is None:
            from napari_hybridseg.engine.jobs import ScoreJob

            return ScoreRules(*(ScoreJob.model_fields[name].default for name in ScoreRules._fields))
        return ScoreRules(page.scores.hd95_convention, page.scores.nsd_tolerance_mm)

    @property
    def checkpoints_folder(self) -> Path | None:
        """A folder of checkpoints besides the plugin's own, if there is one."""
        page = _page()
        text = page.checkpoints.folder.strip() if page is not None else ""
        folder = Path(text).expanduser()
        return folder if text and folder.is_dir() else None

    @property
    def cache_folder(self) -> Path:
        """Where samples that were fetched and other things that can be had again are kept."""
        page = _page()
        text = page.files.cache_folder.strip() if page is not None else ""
        return Path(text).expanduser() if text else cache_folder()

    @property
    def replaces_files(self) -> bool:
        """Whether a script's ``layer.save`` may replace a file that is there already."""
        page = _page()
        return False if page is None else bool(page.files.replace_existing)

    @property
    def autosave_seconds(self) -> float:
        """How often corrections are saved by themselves."""
        page = _page()
        return _AUTOSAVE_S if page is None else float(page.corrections.autosave_seconds)

    @property
    def engine_environment(self) -> dict[str, str]:
        """Environment variables by which the engine's process obeys the page."""
        return {CACHE_VARIABLE: str(self.cache_folder.absolute())}

    def device(self, kept: str) -> str:
        """Give the device that networks run on.

        Parameters
        ----------
        kept : str
            The panel's last choice. It holds where it is of the kind that the page says, which
            does not tell one GPU from another.
        """
        page = _page()
        if page is None or _kind(kept) == page.segmenting.device:
            return kept
        return str(page.segmenting.device)

    def set_device(self, device: str) -> None:
        """Let the page say what was chosen in the panel."""
        page = _page()
        if page is not None and page.segmenting.device != _kind(device):
            page.segmenting.device = _kind(device)

    def follow_device(self, callback: Callable[[Any], None]) -> None:
        """Call back when the device is changed on the page."""
        page = _page()
        if page is not None:
            page.segmenting.events.device.connect(callback)

    def unfollow_device(self, callback: Callable[[Any], None]) -> None:
        """Call back no longer."""
        page = _page()
        if page is not None:
            page.segmenting.events.device.disconnect(callback)


def _kind(device: str) -> str:
    """Give ``cuda`` for ``cuda:1``."""
    return device.partition(":")[0]


def _page() -> Any | None:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None
