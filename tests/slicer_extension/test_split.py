"""Writing the stand-alone tree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from slicer_split import split  # noqa: E402


def test_an_earlier_tree_is_replaced(tmp_path: Path) -> None:
    target = split(tmp_path / "SlicerHybridSeg")
    (target / "old.py").write_text("")
    split(target)
    assert not (target / "old.py").exists()
    assert (target / "HybridSeg/HybridSeg.py").is_file()


def test_the_clone_from_which_it_is_pushed_stays_one(tmp_path: Path) -> None:
    clone = tmp_path / "SlicerHybridSeg"
    (clone / ".git").mkdir(parents=True)
    (clone / ".git" / "HEAD").write_text("ref: refs/heads/main")
    for _ in range(2):
        split(clone)
        assert (clone / ".git" / "HEAD").read_text() == "ref: refs/heads/main"
    assert (clone / "HybridSeg.json").is_file()


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "SlicerHybridSeg"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="something else"):
        split(target)
    assert (target / "thesis.tex").read_text() == "years of work"


def test_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be called SlicerHybridSeg"):
        split(tmp_path / "HybridSeg")


def test_the_owner_is_in_every_address(tmp_path: Path) -> None:
    target = split(tmp_path / "SlicerHybridSeg", "somebody")
    for name in ("CMakeLists.txt", "HybridSeg.json", "README.md"):
        text = (target / name).read_text(encoding="utf-8")
        assert "somebody/SlicerHybridSeg" in text
        assert "napari-hybridseg/SlicerHybridSeg" not in text
