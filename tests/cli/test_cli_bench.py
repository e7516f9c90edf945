from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import hybridseg

from napari_hybridseg.resources import benchmarks_folder

SCRIPT = """
import json, sys
print(json.dumps({"asked": sys.argv[1:]}))
raise SystemExit(3 if "--quick" in sys.argv else 0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a runner that repeats what it is asked for into the benchmarks' place."""
    (tmp_path / "run_all.py").write_text(SCRIPT)
    monkeypatch.setattr("napari_hybridseg.cli.bench.benchmarks_folder", lambda: tmp_path)
    return tmp_path


def test_what_is_asked_for_goes_to_the_runner(folder: Path) -> None:
    ran = hybridseg("bench", "--only", "metrics", "--only", "cuda", "-o", "page.md", "--json")
    assert ran.code == 0
    asked = ["--only", "metrics", "--only", "cuda", "--out", "page.md", "--json"]
    assert ran.json == {"asked": asked}


def test_the_runners_code_is_the_commands(folder: Path) -> None:
    ran = hybridseg("bench", "--quick")
    assert ran.code == 3
    assert ran.json == {"asked": ["--quick"]}


def test_without_a_checkout_one_sentence_says_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_hybridseg.resources._PACKAGE", tmp_path / "napari_hybridseg")
    ran = hybridseg("bench")
    assert ran.code == 1
    assert ran.out == ""
    assert "source checkout" in ran.sentence
    assert "pip install" in ran.sentence


def test_the_checkouts_folder_is_found() -> None:
    expected = Path(__file__).parents[2] / "benchmarks"
    assert benchmarks_folder() == (expected if expected.is_dir() else None)
