"""The house rules that a machine can check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIGHT = (
    "volume",
    "labels",
    "geometry",
    "formats",
    "events",
    "model_card",
    "checkpoint",
    "resources",
    "explain",
    "explain.export",
    "inference",
    "inference.options",
    "training",
    "finetune",
    "metrics",
    "networks",
    "engine.client",
    "engine.jobs",
    "cli",
    "corrections.assist.reports",
)
HEAVY = ("torch", "monai", "numba", "lightning_fabric", "skimage")
FACES = ("napari", "qtpy", "superqt", "magicgui", "vispy", "slicer", "qt")


def modules_after(imports: str) -> set[str]:
    """Give the top packages that an import brings along, in a process of its own."""
    code = f"import sys\n{imports}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_imports_go_down_only() -> None:
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command as main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / ".importlinter"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_what_a_face_loads_is_light() -> None:
    seen = modules_after("\n".join(f"import napari_hybridseg.{name}" for name in LIGHT))
    assert "napari_hybridseg" in seen
    assert not seen.intersection(HEAVY)
    assert not seen.intersection(FACES)


def test_the_engine_brings_no_face_along() -> None:
    seen = modules_after(
        "import napari_hybridseg.engine.worker, napari_hybridseg.engine.kinds\n"
        "import napari_hybridseg.training.train, napari_hybridseg.inference.segmenting\n"
        "import napari_hybridseg.interop\n"
        "from napari_hybridseg.networks import create_network\n"
        "create_network('utnetv2-3d', base_channels=4, fusion_dim=32, fusion_heads=2)"
    )
    assert "torch" in seen
    assert not seen.intersection(FACES)
