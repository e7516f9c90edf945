"""The rules of Slicer's extension index, on the tree that would be submitted."""

from __future__ import annotations

import ast
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LARGEST_BYTES = 100 * 2**20
# what Slicer brings itself
AT_FILE_SCOPE = {
    "HybridSegLib",
    "PythonQt",
    "ctk",
    "numpy",
    "qt",
    "scipy",
    "slicer",
    "vtk",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the stand-alone tree, as ``make slicer-split`` writes it."""
    target = tmp_path_factory.mktemp("split") / "SlicerHybridSeg"
    script = ROOT / "scripts" / "slicer_split.py"
    subprocess.run([sys.executable, str(script), str(target)], check=True)
    return target


def setting(tree: Path, name: str) -> str:
    """Find a setting as the index does: on one line, in quotes."""
    text = (tree / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf'set\(\s*{name}\s+"([^"]*)"\s*\)', text)
    assert found, f"{name} is not on one line in quotes"
    return found.group(1)


def picture_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n"), f"{path.name} is no PNG"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_the_names_are_as_the_index_wants_them(tree: Path) -> None:
    assert tree.name.startswith("Slicer")
    entry = json.loads((tree / "HybridSeg.json").read_text())
    project = re.search(r"project\((\w+)\)", (tree / "CMakeLists.txt").read_text())
    assert project
    assert project.group(1) == "HybridSeg"
    assert not project.group(1).startswith("Slicer")
    assert entry["scm_url"].rsplit("/", 1)[-1] == tree.name


def test_the_entry_fits_its_schema(tree: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((HERE / "catalog_entry.schema.json").read_text())
    entry = json.loads((tree / "HybridSeg.json").read_text())
    jsonschema.validate(entry, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(entry | {"homepage": "x"}, schema)


def test_the_entry_is_laid_out_as_prettier_does(tree: Path) -> None:
    raw = (tree / "HybridSeg.json").read_bytes()
    assert b"\r" not in raw
    entry = json.loads(raw)
    assert list(entry) == sorted(entry)
    assert raw.decode().startswith("{\n  ")
    assert raw.endswith(b"}\n")


def test_the_dependencies_agree(tree: Path) -> None:
    entry = json.loads((tree / "HybridSeg.json").read_text())
    assert setting(tree, "EXTENSION_DEPENDS").split() == entry["build_dependencies"]


@pytest.mark.parametrize("name", ["HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION"])
def test_it_is_described(tree: Path, name: str) -> None:
    assert len(setting(tree, f"EXTENSION_{name}")) > 10


def test_the_pictures_named_are_in_the_tree(tree: Path) -> None:
    base = "https://raw.githubusercontent.com/napari-hybridseg/SlicerHybridSeg/main/"
    urls = [setting(tree, "EXTENSION_ICONURL"), *setting(tree, "EXTENSION_SCREENSHOTURLS").split()]
    assert len(urls) >= 2
    for url in urls:
        assert url.startswith(base)
        assert (tree / url.removeprefix(base)).is_file(), url


def test_the_icons_are_128_pixels(tree: Path) -> None:
    for icon in (tree / "HybridSeg.png", *(tree / "HybridSeg/Resources/Icons").glob("*.png")):
        assert picture_size(icon) == (128, 128), icon.name


def test_it_has_a_licence_in_its_root(tree: Path) -> None:
    assert "Apache License" in (tree / "LICENSE.txt").read_text()


def test_it_is_small(tree: Path) -> None:
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert size < LARGEST_BYTES / 10


def test_nothing_stray_is_in_it(tree: Path) -> None:
    kinds = {path.suffix for path in tree.rglob("*") if path.is_file()}
    assert kinds <= {".py", ".txt", ".png", ".ui", ".json", ".md"}


def test_the_readme_says_what_the_index_asks_for(tree: Path) -> None:
    text = (tree / "README.md").read_text(encoding="utf-8")
    for words in ("Sample Data", "How to cite", "Licence", "Screenshots/", "## Modules"):
        assert words in text, words


def test_only_what_slicer_brings_is_imported_at_file_scope(tree: Path) -> None:
    for path in (tree / "HybridSeg").rglob("*.py"):
        if "bench" in path.parts:
            continue  # imported once the engine is installed, and only by the logic
        for module in imports_at_file_scope(path):
            known = module in AT_FILE_SCOPE or module in sys.stdlib_module_names
            assert known, f"{path.name} imports {module} at file scope"


def test_pip_is_not_called_for_torch_nor_at_import(tree: Path) -> None:
    for path in (tree / "HybridSeg").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "pip_install" not in text or path.name == "install.py"
        for call in re.findall(r"pip_install\((.*)\)", text):
            assert "torch" not in call
        tree_of_code = ast.parse(text)
        outside = [node for node in tree_of_code.body if isinstance(node, ast.Expr)]
        assert not [node for node in outside if isinstance(node.value, ast.Call)], path.name


def imports_at_file_scope(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found - {"__future__"}
