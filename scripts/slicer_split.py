"""Write slicer_extension/ as a tree of its own: what is pushed to the repository SlicerHybridSeg.

``python scripts/slicer_split.py build/SlicerHybridSeg [--owner NAME]``
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "slicer_extension"
REPOSITORY = "SlicerHybridSeg"
OWNER = "napari-hybridseg"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", ".DS_Store")
_WITH_URLS = ("CMakeLists.txt", "HybridSeg.json", "README.md")


def split(target: Path, owner: str = OWNER) -> Path:
    """Write the tree; an earlier one is replaced but for its history, anything else left alone.

    Parameters
    ----------
    target : Path
        Must be called SlicerHybridSeg, as the index wants it.
    owner : str
        Whose repository it becomes: its name in all addresses.

    Raises
    ------
    ValueError
        If the folder is called otherwise, or is not one that this wrote.
    """
    if target.name != REPOSITORY:
        raise ValueError(f"{target} must be called {REPOSITORY}: the extension index wants it.")
    if target.exists():
        if _content(target) and not (target / "HybridSeg.json").is_file():
            raise ValueError(f"{target} holds something else; name a folder that is not there.")
        _clear(target)
    shutil.copytree(SOURCE, target, ignore=LEFT_OUT, dirs_exist_ok=True)
    for name in _WITH_URLS:
        path = target / name
        text = path.read_text(encoding="utf-8")
        here, there = f"{OWNER}/{REPOSITORY}", f"{owner}/{REPOSITORY}"
        path.write_text(text.replace(here, there), encoding="utf-8", newline="\n")
    return target


def _clear(folder: Path) -> None:
    """Empty a folder but for its history, from which it is pushed."""
    for path in _content(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _content(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != ".git"]


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--owner", default=OWNER)
    arguments = parser.parse_args()
    try:
        split(arguments.target, arguments.owner)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
