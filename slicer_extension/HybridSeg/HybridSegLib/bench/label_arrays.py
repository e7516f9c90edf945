"""Segmentations as arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from HybridSegLib.bench.layers import are_in_layers, read_layers
from HybridSegLib.bench.node_geometry import ijk_to_ras
from HybridSegLib.bench.temporary import temporary_label_map
from napari_hybridseg.older_python import zip
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

    Raises
    ------
    VolumeError
        If the segmentation lies on no grid.
    """
    with own_grid(node) if grid is None else _given(grid) as place:
        ids = tuple(node.GetSegmentation().GetSegmentIDs())
        labels = None
        if place.GetParentTransformNode() is node.GetParentTransformNode():
            labels = read_layers(segments_of(node), ijk_to_ras(place), _shape(place))
        return _exported(node, place) if labels is None else labels, ids


def renumbered(labels: NDArray[Any], numbers: Sequence[int]) -> NDArray[np.unsignedinteger]:
    """Put other numbers in the place of 1, 2, ...; 0 stays."""
    if list(numbers) == list(range(1, len(numbers) + 1)):
        return labels
    kind = np.uint8 if max(numbers, default=0) < 256 else np.uint16
    table = np.asarray([0, *numbers], dtype=kind)
    result = np.empty(labels.shape, kind)
    for plane, source in zip(result, labels, strict=True):
        table.take(source, out=plane, mode="clip")
    return result


@contextmanager
def own_grid(node: Any) -> Iterator[Any]:
    """Give a label map node without voxels on a segmentation's own grid, for a moment.

    Raises
    ------
    VolumeError
        If the segmentation lies on no grid.
    """
    with temporary_label_map(node.GetScene()) as labelmap:
        if not (_place_alike(node, labelmap) or _export(node, labelmap, None)):
            raise _nothing_in(node)
        yield labelmap


def segments_of(node: Any) -> list[Any]:
    """List a segmentation's segments, in their order."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(key) for key in segmentation.GetSegmentIDs()]


@contextmanager
def _given(grid: Any) -> Iterator[Any]:
    yield grid


def _shape(grid: Any) -> tuple[int, ...]:
    image = grid.GetImageData()
    return tuple(reversed(image.GetDimensions())) if image is not None else (0, 0, 0)


def _exported(node: Any, grid: Any) -> NDArray[Any]:
    """Let Slicer bring the segments onto the grid: it resamples, converts, and transforms."""
    if all(_is_empty(segment) for segment in segments_of(node)):
        return np.zeros(_shape(grid), np.uint8)  # Slicer does not export what is all empty
    with temporary_label_map(node.GetScene()) as labelmap:
        if not _export(node, labelmap, grid):
            raise _nothing_in(node)
        return np.array(slicer.util.arrayFromVolume(labelmap))


def _export(node: Any, labelmap: Any, grid: Any) -> bool:
    logic = slicer.modules.segmentations.logic()
    ids = vtk.vtkStringArray()
    node.GetSegmentation().GetSegmentIDs(ids)
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    done = logic.ExportSegmentsToLabelmapNode(node, ids, labelmap, grid, extent)
    image = labelmap.GetImageData()
    return bool(done and image is not None and image.GetNumberOfPoints())


def _place_alike(node: Any, labelmap: Any) -> bool:
    """Put a label map where a segmentation says that it lies; whether it says so."""
    segments = segments_of(node)
    if segments and not are_in_layers(segments):
        return False
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = node.GetSegmentation().GetConversionParameter(name)
    image = slicer.vtkOrientedImageData()
    if not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        return False
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    first = (*image.GetExtent()[::2], 1.0)
    for row, value in enumerate(matrix.MultiplyPoint(first)):
        matrix.SetElement(row, 3, value)
    plain = vtk.vtkImageData()
    plain.SetDimensions(image.GetDimensions())
    labelmap.SetIJKToRASMatrix(matrix)
    labelmap.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    labelmap.SetAndObserveImageData(plain)
    return bool(plain.GetNumberOfPoints())


def _is_empty(segment: Any) -> bool:
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(kind)
    return image is None or image.IsEmpty()


def _nothing_in(node: Any) -> VolumeError:
    return VolumeError(
        f"The segmentation '{node.GetName()}' has no voxels that could be read; check in "
        "the Segment Editor that it has segments and a source volume."
    )
