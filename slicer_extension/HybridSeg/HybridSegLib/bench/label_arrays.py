"""Segmentations as arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from HybridSegLib.bench.temporary import temporary_label_map
from napari_hybridseg.volume import VolumeError


def exported_labels(node: Any, grid: Any = None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Give a segmentation's voxels, and the ids of its segments.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    grid : vtkMRMLVolumeNode or None
        On whose grid; None is the segmentation's own.

    Returns
    -------
    labels : ndarray
        Shape (K, J, I); 1 is the first segment. Where segments overlap, the later one counts.
    ids : tuple of str
    """
    with on_grid(node, grid) as labelmap:
        ids = tuple(node.GetSegmentation().GetSegmentIDs())
        return np.array(slicer.util.arrayFromVolume(labelmap)), ids


@contextmanager
def on_grid(node: Any, grid: Any = None) -> Iterator[Any]:
    """Give a segmentation as a label map node for a moment; see :func:`exported_labels`.

    Raises
    ------
    VolumeError
        If the segmentation lies on no grid, or has no segments.
    """
    with temporary_label_map(node.GetScene()) as labelmap:
        if not (_export(node, labelmap, grid) or _leave_empty(node, labelmap, grid)):
            raise VolumeError(
                f"The segmentation '{node.GetName()}' has no voxels that could be read; check in "
                "the Segment Editor that it has segments and a source volume."
            )
        yield labelmap


def _export(node: Any, labelmap: Any, grid: Any) -> bool:
    logic = slicer.modules.segmentations.logic()
    ids = vtk.vtkStringArray()
    node.GetSegmentation().GetSegmentIDs(ids)
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    done = logic.ExportSegmentsToLabelmapNode(node, ids, labelmap, grid, extent)
    image = labelmap.GetImageData()
    return bool(done and image is not None and image.GetNumberOfPoints())


def _leave_empty(node: Any, labelmap: Any, grid: Any) -> bool:
    """Give zeros on the grid: Slicer does not export segments that are all empty."""
    if any(not _is_empty(segment) for segment in segments_of(node)):
        return False
    if grid is not None:
        matrix = vtk.vtkMatrix4x4()
        grid.GetIJKToRASMatrix(matrix)
        labelmap.SetIJKToRASMatrix(matrix)
        labelmap.SetAndObserveTransformNodeID(grid.GetTransformNodeID())
        shape = slicer.util.arrayFromVolume(grid).shape
    else:
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        image = slicer.vtkOrientedImageData()
        text = node.GetSegmentation().GetConversionParameter(name)
        if not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
            return False
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        labelmap.SetIJKToRASMatrix(matrix)
        labelmap.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        shape = tuple(reversed(image.GetDimensions()))
    slicer.util.updateVolumeFromArray(labelmap, np.zeros(shape[:3], np.uint8))
    return True


def segments_of(node: Any) -> list[Any]:
    """List a segmentation's segments, in their order."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(key) for key in segmentation.GetSegmentIDs()]


def _is_empty(segment: Any) -> bool:
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(kind)
    return image is None or image.IsEmpty()
