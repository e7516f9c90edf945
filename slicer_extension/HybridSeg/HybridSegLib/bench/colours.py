"""Colours for maps: one scale from nothing to much, one that has zero in its middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

_LENGTH = 256
# where on the scale, and the colour there
_SCALES = {
    "sequential": (
        (0.0, (0.0, 0.0, 0.02)),
        (0.25, (0.30, 0.03, 0.40)),
        (0.5, (0.72, 0.18, 0.32)),
        (0.75, (0.97, 0.53, 0.10)),
        (1.0, (1.0, 1.0, 0.70)),
    ),
    "diverging": (
        (0.0, (0.10, 0.25, 0.60)),
        (0.25, (0.45, 0.68, 0.85)),
        (0.5, (0.97, 0.97, 0.97)),
        (0.75, (0.92, 0.50, 0.38)),
        (1.0, (0.60, 0.06, 0.15)),
    ),
}


def colour_node(scene: Any, scale: str) -> Any:
    """Give the scene's colour table of a scale; it is made when it is first wanted."""
    name = f"HybridSeg {scale}"
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode", scene):
        if node.GetName() == name:
            return node
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(_LENGTH)
    for index, colour in enumerate(_steps(scale)):
        node.SetColor(index, f"{index}", *(float(part) for part in colour), 1.0)
    node.SetHideFromEditors(False)
    return node


def show_legend(node: Any, title: str) -> None:
    """Show the colours of a volume or model with their numbers beside the slices."""
    colours = getattr(slicer.modules, "colors", None)
    if colours is None:
        return
    legend = colours.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(title)
        legend.SetMaxNumberOfColors(_LENGTH)
        legend.SetLabelFormat("%.3g")
        legend.SetVisibility(True)


def _steps(scale: str) -> Any:
    at = [place for place, _ in _SCALES[scale]]
    parts = np.array([colour for _, colour in _SCALES[scale]])
    where = np.linspace(0, 1, _LENGTH)
    return np.stack([np.interp(where, at, parts[:, part]) for part in range(3)], axis=1)
