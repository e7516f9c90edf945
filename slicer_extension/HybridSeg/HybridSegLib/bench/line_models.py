"""Lines in space, as the polygons of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray

from napari_hybridseg.older_python import zip

# pairs of corners that differ along one axis of the network: corner 4 * k + 2 * j + i
_EDGES = tuple((a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit)
_SMALLEST = 0.3  # of the largest ball, so that what weighs little is still seen


def box_lines(corners: NDArray[np.floating]) -> Any:
    """Give the twelve edges of a box whose corners (8, 3) are as ``WindowBox`` has them."""
    points, lines = vtk.vtkPoints(), vtk.vtkCellArray()
    for corner in corners:
        points.InsertNextPoint([float(value) for value in corner])
    for ends in _EDGES:
        lines.InsertNextCell(2, ends)
    return _poly_data(points, lines)


def point_rays(
    query: NDArray[np.floating],
    places: NDArray[np.floating],
    weights: NDArray[np.floating],
    radius: float,
) -> Any:
    """Give a line from a query to each place and a ball there, larger where it weighs more.

    The point data has the array ``weight``; the area of a ball grows with it.
    """
    points, lines, values = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkFloatArray()
    values.SetName("weight")
    for place, weight in zip(places, weights, strict=True):
        ends = [points.InsertNextPoint([float(v) for v in end]) for end in (query, place)]
        lines.InsertNextCell(2, ends)
        for _ in ends:
            values.InsertNextValue(float(weight))
    rays = _poly_data(points, lines)
    rays.GetPointData().SetScalars(values)
    both = vtk.vtkAppendPolyData()
    both.AddInputData(rays)
    most = float(weights.max(initial=0.0)) or 1.0
    for place, weight in zip(places, weights, strict=True):
        size = radius * (_SMALLEST + (1 - _SMALLEST) * float(np.sqrt(max(weight, 0) / most)))
        both.AddInputData(_ball(place, size, float(weight)))
    both.Update()
    return both.GetOutput()


def _ball(place: NDArray[np.floating], radius: float, weight: float) -> Any:
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter([float(value) for value in place])
    sphere.SetRadius(radius)
    sphere.Update()
    ball = sphere.GetOutput()
    ball.GetPointData().SetNormals(None)
    values = vtk.vtkFloatArray()
    values.SetName("weight")
    values.SetNumberOfTuples(ball.GetNumberOfPoints())
    values.Fill(weight)
    ball.GetPointData().SetScalars(values)
    return ball


def _poly_data(points: Any, lines: Any) -> Any:
    data = vtk.vtkPolyData()
    data.SetPoints(points)
    data.SetLines(lines)
    return data
