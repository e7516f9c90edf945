"""Places between Slicer's world (RAS, all transforms) and the engine's (LPS, see node_geometry)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from HybridSegLib.bench.node_geometry import ijk_to_ras
from HybridSegLib.bench.volumes import volume_of
from HybridSegLib.slices import world_of_voxel
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.older_python import zip

Voxel = tuple[int, int, int]
Millimetres = tuple[float, float, float]


def voxel_at(volume: Any, world: Sequence[float]) -> Voxel | None:
    """Give the voxel (K, J, I) at a world place (RAS); None beside the volume."""
    to_local = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        None, volume.GetParentTransformNode(), to_local
    )
    local = np.append(to_local.TransformPoint([float(value) for value in world]), 1.0)
    i, j, k = np.rint((np.linalg.inv(ijk_to_ras(volume)) @ local)[:3]).astype(int)
    shape = slicer.util.arrayFromVolume(volume).shape[:3]
    is_inside = all(0 <= index < size for index, size in zip((k, j, i), shape, strict=True))
    return (int(k), int(j), int(i)) if is_inside else None


def engine_point(volume: Any, voxel: Voxel) -> Millimetres:
    """Give a voxel's centre as the engine knows it, LPS millimetres."""
    place = volume_of(volume).source.world(np.asarray(voxel, dtype=np.float64))
    x, y, z = (round(float(value), 3) for value in place)
    return x, y, z


def world_of_point(volume: Any, source: Geometry, point: Sequence[float]) -> Millimetres:
    """Give the world place (RAS) of an engine's point on the grid of a volume node."""
    voxel = source.index(np.asarray(point, dtype=np.float64))
    return world_of_voxel(volume, voxel.tolist())


def local_points(
    volume: Any, source: Geometry, points: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Bring an engine's points (N, 3) into a volume node's own RAS, without its transforms."""
    index = np.atleast_2d(source.index(np.asarray(points, dtype=np.float64)))
    ijk = np.c_[index[:, ::-1], np.ones(len(index))]
    return np.asarray((ijk @ ijk_to_ras(volume).T)[:, :3])
