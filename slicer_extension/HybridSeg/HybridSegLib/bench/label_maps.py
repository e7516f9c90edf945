"""Any segmentation or label map node as the engine's label map, with organs that match."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from HybridSegLib.bench.label_arrays import (
    exported_labels,
    own_grid,
    renumbered,
    segments_of,
)
from HybridSegLib.bench.node_geometry import geometry_of
from HybridSegLib.bench.segmentations import LABEL_TAG
from HybridSegLib.bench.terminology import code_of, tag_of
from napari_hybridseg.formats import StoredImage
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap

SEGMENTATION = "vtkMRMLSegmentationNode"
_LARGEST_LABEL = 65535


@contextmanager
def grid_of(node: Any) -> Iterator[Any]:
    """Give a node on the grid of a segmentation or label map; perhaps for a moment, unfilled."""
    if node.IsA(SEGMENTATION):
        with own_grid(node) as labelmap:
            yield labelmap
    else:
        yield node


def label_map_of(node: Any, grid: Any, known: LabelScheme | None = None) -> LabelMap:
    """Read a segmentation or label map node.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
    grid : vtkMRMLVolumeNode
        Onto whose grid a segmentation is brought. A label map stays on its own.
    known : LabelScheme or None
        Organs of the other side of a comparison: what has one of their names or codes gets its
        number; a label map without names gets their names.

    Raises
    ------
    VolumeError
        If it has no voxels, or a grid that cannot be used.
    """
    scheme: LabelScheme | None
    if node.IsA(SEGMENTATION):
        scheme = named = scheme_of_segments(node, known)
        labels = renumbered(exported_labels(node, grid)[0], named.ids)
        placed = grid
    else:
        labels, placed = slicer.util.arrayFromVolume(node), node
        scheme = _scheme_of_colours(node, labels) or known
    stored = StoredImage(array=labels[None], geometry=geometry_of(placed, labels.shape))
    return LabelMap.from_stored(stored, node.GetName(), scheme)


def own_scheme(node: Any) -> LabelScheme | None:
    """Give the organs that a segmentation or label map names itself; None if it names none."""
    if node.IsA(SEGMENTATION):
        return scheme_of_segments(node)
    return _scheme_of_colours(node, slicer.util.arrayFromVolume(node))


def scheme_of_segments(node: Any, known: LabelScheme | None = None) -> LabelScheme:
    """Give the segments of a node, in their order, numbers: by name, code, tag, or anew."""
    segments = segments_of(node)
    wanted = [_number(segment, known) for segment in segments]
    used: set[int] = set()
    organs = []
    for segment, number in zip(segments, wanted, strict=True):
        if not number or number in used:
            taken = used | set(wanted) | set(known.ids if known else ())
            number = next(n for n in range(1, _LARGEST_LABEL + 1) if n not in taken)
        used.add(number)
        organs.append(_organ(number, segment))
    return LabelScheme(name=node.GetName(), organs=tuple(organs))


def _number(segment: Any, known: LabelScheme | None) -> int:
    """Give the number that a segment should have; 0 for any."""
    if known is None:
        text = tag_of(segment, LABEL_TAG)
        number = int(text) if text.isdecimal() else 0
        return number if number <= _LARGEST_LABEL else 0
    name, code = segment.GetName().casefold(), code_of(segment)
    same = [organ for organ in known.organs if organ.name.casefold() == name]
    same += [organ for organ in known.organs if code and organ.snomed == code]
    return same[0].id if same else 0


def _organ(number: int, segment: Any) -> Organ:
    red, green, blue = (round(255 * value) for value in segment.GetColor())
    return Organ(
        id=number,
        name=segment.GetName() or f"label {number}",
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        snomed=code_of(segment),
    )


def _scheme_of_colours(node: Any, labels: NDArray[Any]) -> LabelScheme | None:
    """Give the names of a label map's own colour table; Slicer's stock tables name nothing."""
    display = node.GetDisplayNode()
    colours = display.GetColorNode() if display is not None else None
    if colours is None or colours.GetSingletonTag():
        return None
    organs = []
    for label in _present(labels):
        name = colours.GetColorName(label) if label < colours.GetNumberOfColors() else ""
        organs.append(Organ(id=label, name=name or f"label {label}", colour=distinct_colour(label)))
    return LabelScheme(name=node.GetName(), organs=tuple(organs))


def _present(labels: NDArray[Any]) -> tuple[int, ...]:
    """Give the label numbers that occur, without background."""
    seen = np.zeros(65536, bool)
    for plane in labels:  # sorting a whole volume takes seconds
        seen[np.clip(plane, 0, 65535).astype(np.uint16)] = True
    return tuple(int(label) for label in np.flatnonzero(seen) if label)
