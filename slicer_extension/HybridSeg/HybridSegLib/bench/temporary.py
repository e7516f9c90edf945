"""Label map nodes that are needed for a moment, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def temporary_label_map(scene: Any) -> Iterator[Any]:
    """Give a hidden label map node that goes, with all that came with it, in the end."""
    before = _ids(scene)
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "HybridSeg temporary")
    node.SetHideFromEditors(True)
    try:
        yield node
    finally:
        # Slicer gives a label map a display and a colour table, which outlive it
        belongings = [node, node.GetDisplayNode(), _colours(node)]
        for one in belongings:
            if one is not None and one.GetID() and one.GetID() not in before:
                scene.RemoveNode(one)


def _colours(node: Any) -> Any:
    display = node.GetDisplayNode()
    return display.GetColorNode() if display is not None else None


def _ids(scene: Any) -> set[str]:
    nodes = scene.GetNodes()
    return {nodes.GetItemAsObject(i).GetID() for i in range(nodes.GetNumberOfItems())}
