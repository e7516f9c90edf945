"""Where the shipped checkpoints and sample volumes are, and where a user's own belong."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir, user_data_dir

_PACKAGE = Path(__file__).resolve().parent
_SUFFIX = ".safetensors"
_PRODUCT = "napari-hybridseg"
CACHE_VARIABLE = "HYBRIDSEG_CACHE"


def shipped_checkpoints_folder() -> Path:
    """Give the folder of the checkpoints that came with this installation."""
    return _sample_data_folder() / "checkpoints"


def sample_volumes_folder() -> Path:
    """Give the folder of the volumes that came with this installation."""
    return _sample_data_folder() / "volumes"


def benchmarks_folder() -> Path | None:
    """Give the folder of the benchmarks beside the package; None outside a source checkout."""
    folder = _PACKAGE.parent / "benchmarks"
    return folder if (folder / "run_all.py").is_file() else None


def user_checkpoints_folder() -> Path:
    """Give the folder where a user's own checkpoints are found; it may not exist yet."""
    return Path(user_data_dir(_PRODUCT)) / "checkpoints"


def cache_folder() -> Path:
    """Give the folder for what can be fetched or measured again; it may not exist yet.

    The environment variable ``HYBRIDSEG_CACHE`` names it, else it is where the system keeps
    caches.
    """
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(named).expanduser() if named else Path(user_cache_dir(_PRODUCT))


def find_checkpoints() -> list[Path]:
    """List the checkpoint files of this installation, then the user's, each by name.

    Hidden files are left out: they are drafts of a program that was killed while it wrote.
    """
    found: list[Path] = []
    for folder in (shipped_checkpoints_folder(), user_checkpoints_folder()):
        if folder.is_dir():
            files = (path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file())
            found += sorted(path for path in files if not path.name.startswith("."))
    return found


def checkpoints_in(folder: Path) -> list[Path]:
    """List the checkpoint files in a folder that a user named, by name; not in those in it."""
    files = (path for path in folder.glob(f"*{_SUFFIX}") if path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def _sample_data_folder() -> Path:
    """Give ``sample_data`` inside an installed wheel, or beside the package in a checkout."""
    installed = _PACKAGE / "sample_data"
    return installed if installed.is_dir() else _PACKAGE.parent / "sample_data"
