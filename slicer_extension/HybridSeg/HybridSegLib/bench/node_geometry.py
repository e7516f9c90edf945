"""Where a volume node's voxels lie, in the engine's terms (LPS), and whether that can be said."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from napari_hybridseg.geometry import Geometry, GeometryError
from napari_hybridseg.volume import VolumeError

_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ijk_to_ras(node: Any) -> NDArray[np.float64]:
    """Give a volume node's own matrix from (i, j, k) to RAS, without its transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), dtype=np.float64)


def rigid_to_world(node: Any) -> NDArray[np.float64] | None:
    """Give the matrix of a node's transforms; None if they do more than turn and move."""
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    array = np.asarray(slicer.util.arrayFromVTKMatrix(matrix), dtype=np.float64)
    turn = array[:3, :3]
    is_rigid = np.allclose(turn.T @ turn, np.eye(3), atol=1e-4) and np.linalg.det(turn) > 0
    return array if is_rigid else None


def geometry_of(node: Any, shape: tuple[int, ...], under: Any = None) -> Geometry:
    """Give the grid of a volume node's array.

    Transforms that only turn and move are applied, because networks expect patients the right
    way up; under any other transform the node's own, untransformed space counts.

    Parameters
    ----------
    node : vtkMRMLVolumeNode
    shape : tuple of int
        The array's last three axes (K, J, I).
    under : vtkMRMLTransformableNode or None
        Whose transforms count; None is the node itself.

    Raises
    ------
    VolumeError
        If the node's axes are not at right angles.
    """
    world = rigid_to_world(under or node)
    ras = ijk_to_ras(node) if world is None else world @ ijk_to_ras(node)
    try:
        return Geometry.from_affine(shape, _RAS_LPS @ ras)
    except GeometryError as error:
        raise VolumeError(
            f"The volume '{node.GetName()}' has axes that are not at right angles; bring it onto "
            "an even grid with Slicer's 'Resample Scalar Volume' and use the result."
        ) from error
