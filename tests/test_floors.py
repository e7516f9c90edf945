"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import builtins
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
    "matching",
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


def python_files() -> list[Path]:
    """Give what has to run on Slicer 5.8's Python: all but the napari face."""
    return [
        path
        for folder in (ROOT / "napari_hybridseg", ROOT / "slicer_extension" / "HybridSeg")
        for path in sorted(folder.rglob("*.py"))
        if "widgets" not in path.parts
    ]


def test_every_zip_says_whether_its_items_end_together() -> None:
    silent = [
        f"{path}:{node.lineno}"
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "zip"
        and all(keyword.arg != "strict" for keyword in node.keywords)
    ]
    assert silent == []


def test_every_zip_that_says_so_is_one_that_can_on_any_python() -> None:
    """Python 3.9's own takes no ``strict``."""
    unable = []
    for path in python_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "zip"]
        taken = [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("older_python")
            for alias in node.names
        ]
        if calls and "zip" not in taken and path.name != "older_python.py":
            unable.append(path)
    assert unable == []


def test_types_are_joined_by_a_bar_only_in_annotations() -> None:
    """On Python 3.9 annotations alone may have one: they are not calculated."""
    assert joined_types("x = int | str") == ["int | str"]
    assert joined_types("isinstance(x, (nn.Linear | None))") == ["nn.Linear | None"]
    assert joined_types("Labels = NDArray[np.uint8 | np.uint16]") == ["np.uint8 | np.uint16"]
    assert joined_types("def f(x: int | None = 1 | 2) -> Map | Table: ...") == []
    assert joined_types("y: Map | None = a | MASK") == []
    files = python_files()
    assert len(files) > 300
    found = {path: joined_types(path.read_text(encoding="utf-8")) for path in files}
    assert {path: joined for path, joined in found.items() if joined} == {}


def joined_types(source: str) -> list[str]:
    """Give the ``A | B`` of types outside annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, None)
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and looks_like_type(node.left)
        and looks_like_type(node.right)
    ]


def looks_like_type(node: ast.expr) -> bool:
    """Whether an expression is None or named as types are."""
    if isinstance(node, ast.BinOp):
        return looks_like_type(node.left) and looks_like_type(node.right)
    if isinstance(node, ast.Subscript):
        return looks_like_type(node.value)
    if isinstance(node, ast.Constant):
        return node.value is None
    if not isinstance(node, (ast.Name, ast.Attribute)):
        return False
    name = node.id if isinstance(node, ast.Name) else node.attr
    is_numpys = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np"
    is_a_class = name[0].isupper() and not name.isupper()
    return is_numpys or is_a_class or isinstance(getattr(builtins, name, None), type)
