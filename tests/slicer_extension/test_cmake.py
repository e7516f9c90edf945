"""CMake configures the stand-alone tree, and packages every file of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CMAKE = shutil.which("cmake") or shutil.which("cmake", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    target = tmp_path / "SlicerHybridSeg"
    script = ROOT / "scripts" / "slicer_split.py"
    subprocess.run([sys.executable, str(script), str(target)], check=True)
    return target


def configure(tree: Path) -> subprocess.CompletedProcess[str]:
    assert CMAKE is not None
    return subprocess.run(
        [
            CMAKE,
            "-S",
            str(tree),
            "-B",
            str(tree.parent / "build"),
            f"-DSlicer_DIR={HERE / 'cmakestub'}",
            "-DBUILD_TESTING=ON",
            # project() asks for compilers, and nothing is compiled
            "-DCMAKE_C_COMPILER=/bin/true",
            "-DCMAKE_CXX_COMPILER=/bin/true",
            "-DCMAKE_C_COMPILER_WORKS=1",
            "-DCMAKE_CXX_COMPILER_WORKS=1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_configures(tree: Path) -> None:
    done = configure(tree)
    assert done.returncode == 0, done.stderr
    assert "module HybridSeg is complete" in done.stdout
    assert "self test HybridSeg.py" in done.stdout


def test_a_file_that_would_not_be_packaged_is_noticed(tree: Path) -> None:
    (tree / "HybridSeg/HybridSegLib/forgotten.py").write_text("")
    done = configure(tree)
    assert done.returncode != 0
    assert "would not be packaged: HybridSegLib/forgotten.py" in done.stderr


def test_a_file_that_is_listed_but_missing_is_noticed(tree: Path) -> None:
    (tree / "HybridSeg/Resources/requirements.txt").unlink()
    done = configure(tree)
    assert done.returncode != 0
    assert "listed, but missing: Resources/requirements.txt" in done.stderr
