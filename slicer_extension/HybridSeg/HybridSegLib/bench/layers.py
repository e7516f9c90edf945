"""The layers of a segmentation: images that several segments share, each with a number of its own.

Slicer's own export and import look at every voxel once a segment; on a CT of 80 million voxels that
is many seconds in which its window does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from napari_hybridseg.older_python import zip

Box = tuple[slice, slice, slice]
# of a voxel: nearest voxels of grids that are closer than this are the same
_CLOSE = 0.01


def are_in_layers(segments: Sequence[Any]) -> bool:
    """Whether every segment is stored as an image of labels, perhaps an empty one."""
    return bool(segments) and all(_image_of(segment) is not None for segment in segments)


def read_layers(
    segments: Sequence[Any], matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[Any] | None:
    """Give segments as one array; None if they do not lie on voxels of the grid.

    Parameters
    ----------
    segments : sequence of vtkSegment
    matrix : ndarray
        Shape (4, 4), the grid's matrix from (i, j, k) to RAS, in the segments' space.
    shape : tuple of int
        The grid's size (K, J, I).

    Returns
    -------
    ndarray or None
        Shape (K, J, I); 1 is the first segment. Where segments overlap, the later one counts.
    """
    if not are_in_layers(segments):
        return None
    result = np.zeros(shape, np.uint8 if len(segments) < 256 else np.uint16)
    for image, members in _layers(segments):
        offset = _offset(image, matrix)
        if offset is None:
            return None
        values = _voxels(image)
        there, here = _overlap(offset, values.shape, shape)
        table = _table(members).astype(result.dtype)
        # plane by plane: numpy makes eight bytes of every voxel that it looks up
        for plane, source in zip(result[there], values[here], strict=True):
            np.maximum(plane, table.take(source, mode="clip"), out=plane)
    return result


def make_layer(labels: NDArray[np.unsignedinteger], matrix: Any) -> tuple[Any, tuple[int, ...]]:
    """Make the image that the segments of a label array share, no larger than they are.

    Parameters
    ----------
    labels : ndarray
        Shape (K, J, I); 0 is background.
    matrix : vtkMatrix4x4
        The grid's matrix from (i, j, k) to RAS.

    Returns
    -------
    image : vtkOrientedImageData or None
        None if there is nothing but background.
    present : tuple of int
        The numbers that occur, without background.
    """
    box = bounding_box(labels)
    part = labels[box]
    if not part.size:
        return None, ()
    image = slicer.vtkOrientedImageData()
    k, j, i = box
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    image.AllocateScalars(get_vtk_array_type(labels.dtype), 1)
    image.SetImageToWorldMatrix(matrix)
    seen = np.zeros(int(np.iinfo(labels.dtype).max) + 1, bool)
    for plane, source in zip(_voxels(image), part, strict=True):
        plane[...] = source
        seen[source] = True
    return image, tuple(int(label) for label in np.flatnonzero(seen) if label)


def bounding_box(labels: NDArray[Any]) -> Box:
    """Give the smallest box (K, J, I) that holds all voxels that are not background."""
    rows = np.logical_or.reduce(labels, axis=2)
    k = _range(np.logical_or.reduce(rows, axis=1))
    j = _range(np.logical_or.reduce(rows, axis=0))
    return k, j, _range(np.logical_or.reduce(labels[k, j], axis=(0, 1)))


def _range(used: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _image_of(segment: Any) -> Any:
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    return segment.GetRepresentation(kind)


def _layers(segments: Sequence[Any]) -> list[tuple[Any, list[tuple[int, int]]]]:
    """Group segments by the image that they share, as (label value, place from 1) each."""
    found: dict[int, tuple[Any, list[tuple[int, int]]]] = {}
    for place, segment in enumerate(segments, start=1):
        image = _image_of(segment)
        if not image.IsEmpty():
            _, members = found.setdefault(id(image), (image, []))
            members.append((int(segment.GetLabelValue()), place))
    return list(found.values())


def _voxels(image: Any) -> NDArray[Any]:
    """Give an image's voxels, shape (K, J, I)."""
    scalars: NDArray[Any] = vtk_to_numpy(image.GetPointData().GetScalars())
    return scalars.reshape(tuple(reversed(image.GetDimensions())))


def _offset(image: Any, matrix: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Give where an image's first voxel (k, j, i) is on a grid; None if its voxels lie between."""
    own = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(own)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    corners = np.array([(i, j, k, 1.0) for i in (i0, i1) for j in (j0, j1) for k in (k0, k1)])
    onto = np.linalg.inv(matrix) @ slicer.util.arrayFromVTKMatrix(own)
    steps = (corners @ onto.T - corners)[:, :3]
    step = np.rint(steps[0])
    if np.abs(steps - step).max() > _CLOSE:
        return None
    return (step + np.array((i0, j0, k0))).astype(np.int64)[::-1]


def _overlap(
    offset: NDArray[np.int64], size: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Box, Box]:
    """Give the part of a grid that a box covers, and the part of the box that does."""
    there, here = [], []
    for start, length, whole in zip(offset.tolist(), size, shape, strict=True):
        first, last = max(0, start), max(0, min(whole, start + length))
        first = min(first, last)
        there.append(slice(first, last))
        here.append(slice(first - start, last - start) if last > first else slice(0, 0))
    return (there[0], there[1], there[2]), (here[0], here[1], here[2])


def _table(members: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Say for every label value which segment it is; what is beyond the ends is none."""
    table = np.zeros(max(value for value, _ in members) + 2, np.int64)
    for value, place in members:
        table[value] = place
    table[0] = 0
    return table
