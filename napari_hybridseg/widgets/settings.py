"""Choices that outlive a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import QSettings

from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.widgets.preferences import Preferences


class Settings:
    """What the user chose last; anything unreadable counts as never chosen."""

    def __init__(self, store: QSettings | None = None) -> None:
        self._store = store or QSettings("napari-hybridseg", "HybridSeg")
        self.preferences = Preferences()

    @property
    def kept_options(self) -> SegmentOptions:
        """How a volume was segmented last, whatever the Preferences say."""
        try:
            return SegmentOptions.model_validate_json(self._text("options"))
        except ValidationError:
            return SegmentOptions()

    @property
    def options(self) -> SegmentOptions:
        """How a volume is segmented; the device is that of the Preferences."""
        kept = self.kept_options
        return kept.model_copy(update={"device": self.preferences.device(kept.device)})

    @options.setter
    def options(self, options: SegmentOptions) -> None:
        self._store.setValue("options", options.model_dump_json())
        self.preferences.set_device(options.device)

    @property
    def checkpoint(self) -> str:
        """The file that was used last."""
        return self._text("checkpoint")

    @checkpoint.setter
    def checkpoint(self, path: Path | str) -> None:
        self._store.setValue("checkpoint", str(path))

    @property
    def opened_checkpoints(self) -> list[Path]:
        """Files from other folders that the user opened and that are still there."""
        paths = [Path(line) for line in self._text("opened_checkpoints").splitlines() if line]
        return [path for path in paths if path.is_file()]

    def add_opened_checkpoint(self, path: Path) -> None:
        """Remember a file that the user opened, the last one first."""
        paths = [path, *(known for known in self.opened_checkpoints if known != path)]
        self._store.setValue("opened_checkpoints", "\n".join(str(p) for p in paths[:20]))

    def folder(self, purpose: str) -> str:
        """Give the folder that a file dialog showed last."""
        return self._text(f"folder/{purpose}")

    def set_folder(self, purpose: str, folder: Path) -> None:
        """Remember the folder that a file dialog showed."""
        self._store.setValue(f"folder/{purpose}", str(folder))

    def is_open(self, section: str, default: bool) -> bool:
        """Say whether a section was left unfolded."""
        text = self._text(f"open/{section}")
        return text == "yes" if text else default

    def set_open(self, section: str, is_open: bool) -> None:
        """Remember whether a section is unfolded."""
        self._store.setValue(f"open/{section}", "yes" if is_open else "no")

    def _text(self, key: str) -> str:
        value: Any = self._store.value(key, "")
        return value if isinstance(value, str) else ""
