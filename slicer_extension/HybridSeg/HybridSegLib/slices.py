"""Pointing the slice views at a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk


def jump_to(scene: Any, ras: Sequence[float]) -> None:
    """Move all slice views to a place in the world (RAS, millimetres)."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *(float(value) for value in ras))


def world_of_voxel(node: Any, voxel: Sequence[float]) -> tuple[float, float, float]:
    """Give the world place (RAS) of a voxel (K, J, I) of a volume node, its transforms applied."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    k, j, i = voxel
    local = matrix.MultiplyPoint((float(i), float(j), float(k), 1.0))[:3]
    transform = node.GetParentTransformNode()
    if transform is None:
        return tuple(local)
    general = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(general)
    return tuple(general.TransformPoint(local))
