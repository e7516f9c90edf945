"""The words of the Slicer face are those of the napari face, read from both faces' sources."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAPARI = ROOT / "napari_hybridseg"
SLICER = ROOT / "slicer_extension" / "HybridSeg"

# what there is only in Slicer, or is done differently there
OWN = {
    # nodes and their selectors
    "How much time a run may take for its quality.",
    "The trained network that is used.",
    "All frames of the sequence",
    "Segment every frame, and play the results together with the volumes.",
    "This is one frame of a sequence: Segment can take all of them; Score, Explain and Correct "
    "take the frame that is shown.",
    "The scan to segment.",
    "What is scored.",
    "What it is compared with.",
    "HybridSeg's engine is not installed in this Slicer yet.",
    "Install the engine…",
    "Asks before anything is downloaded.",
    "Table view",
    "Show every number in Slicer's table view.",
    "Drop a scan (.nrrd, .nii.gz, .mha, DICOM) into the window, or take one from Sample Data.",
    "The label map cannot be its own reference; choose another node.",
    "Edited since; score again to see the change.",
    "Segment this volume with the parent and with the new checkpoint: two segmentations, two "
    "columns of scores.",
    "Click to see the organ.",
    "Click to go there; click again for the largest error.",
    # the Segment Editor paints
    "Go on correcting",
    "Open the correction in the Segment Editor again.",
    "Hide the network's result and paint in a copy of it, in the Segment Editor.",
    "Count anew what was edited.",
    "Load a volume first: drop a file into the window, or take one from Sample Data.",
    "Install the engine first: the button is at the top of this panel.",
}


def texts_of(source: str) -> set[str]:
    """Give the strings of a module that are no docstrings; of f-strings, their fixed parts."""
    tree = ast.parse(source)
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs
    }


def sentences(texts: set[str]) -> set[str]:
    """Keep what a person reads as a sentence."""
    return {text for text in texts if " " in text.strip() and text.rstrip().endswith((".", "…"))}


def napari_texts() -> set[str]:
    files = [*(NAPARI / "widgets").glob("*.py"), *NAPARI.glob("*/options.py")]
    return set().union(*(texts_of(path.read_text(encoding="utf-8")) for path in files))


def test_the_sections_say_what_naparis_say() -> None:
    files = [SLICER / "HybridSegLib" / "state.py"]
    files += [*(SLICER / "HybridSegLib" / "sections").glob("*.py")]
    ours = set().union(*(texts_of(path.read_text(encoding="utf-8")) for path in files))
    assert sentences(ours) - napari_texts() - OWN == set()


def test_the_ui_file_says_what_naparis_sections_say() -> None:
    root = ElementTree.parse(SLICER / "Resources" / "UI" / "HybridSeg.ui").getroot()
    ours, theirs = {element.text or "" for element in root.iter("string")}, napari_texts()
    unlike = sentences(ours) - theirs - OWN
    assert {text for text in unlike if not is_put_together(text, theirs)} == set()


def is_put_together(text: str, parts: set[str]) -> bool:
    """Whether a text is a beginning that ends in a colon, and an enumeration, both of napari's."""
    head, colon, rest = text.partition(": ")
    return head + colon in parts and rest in parts


def test_titles_and_buttons_are_naparis() -> None:
    root = ElementTree.parse(SLICER / "Resources" / "UI" / "HybridSeg.ui").getroot()
    ours = set()
    for widget in root.iter("widget"):
        if widget.get("class") in ("QPushButton", "QLabel", "ctkCollapsibleButton", "QCheckBox"):
            ours |= {p.findtext("string") or "" for p in widget.findall("property[@name='text']")}
    assert ours - napari_texts() - OWN - {"", "Count"} == set()


def function(path: Path, name: str) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    return ast.dump(ast.Module(found.body, []))


def test_the_sections_are_in_naparis_order() -> None:
    root = ElementTree.parse(SLICER / "Resources" / "UI" / "HybridSeg.ui").getroot()
    folds = root.findall(".//widget[@class='ctkCollapsibleButton']")
    ours = [fold.findtext("property[@name='text']/string") for fold in folds]
    tree = ast.parse((NAPARI / "widgets" / "dock.py").read_text(encoding="utf-8"))
    layout = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_lay_out"
    )
    found = [node for node in ast.walk(layout) if isinstance(node, ast.Constant)]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    theirs = [node.value for node in found if node.value in ours]
    assert theirs == ours
    assert len(ours) == 7


def test_what_is_copied_is_the_same() -> None:
    ours, theirs = SLICER / "HybridSegLib" / "bench", NAPARI / "widgets"
    for name, mine, its in (
        ("edits_line", ours / "correcting.py", theirs / "correct_state.py"),
        ("free_name", ours / "teaching.py", theirs / "teach_controller.py"),
        ("read_set", ours / "teaching.py", theirs / "teach_controller.py"),
        ("contrast_of", ours / "explain_nodes.py", theirs / "explain_layers.py"),
    ):
        assert function(mine, name) == function(its, name), name


def test_the_words_for_what_was_measured_are_naparis() -> None:
    for name, mine, its in (
        ("_MEASURED", "bench/teaching.py", "change_table.py"),
        ("_DIRECTIONS", "sections/explain.py", "explain_section.py"),
        ("_COLUMNS", "sections/change_view.py", "change_table.py"),
    ):
        ours = texts_of((SLICER / "HybridSegLib" / mine).read_text(encoding="utf-8"))
        assert constant(SLICER / "HybridSegLib" / mine, name) <= ours
        assert constant(SLICER / "HybridSegLib" / mine, name) == constant(
            NAPARI / "widgets" / its, name
        )


def constant(path: Path, name: str) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return {
        node.value
        for node in ast.walk(found.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
