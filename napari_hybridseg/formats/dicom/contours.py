"""Radiotherapy structure sets (RTSTRUCT, PS3.3 A.19) as label maps on the grid of their scan.

A structure is a set of closed contours, each in the plane of a slice. A voxel belongs to it when
its centre lies inside an odd number of the structure's contours in that slice, so an inner contour
cuts a hole (PS3.3 C.8.8.6.3), and a keyhole, whose outline runs into the hole and back, works too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.colours import hex_colour
from napari_hybridseg.formats.dicom.codes import snomed_of
from napari_hybridseg.formats.dicom.headers import text
from napari_hybridseg.formats.dicom.libraries import parsing, read_whole
from napari_hybridseg.formats.dicom.segmentations import LabelGrid
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.older_python import zip

if TYPE_CHECKING:
    from pydicom import Dataset

Points = NDArray[np.float64]

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FLAT_SLICES = 0.5
_ON_SLICE = 0.1
_LARGEST_ID = 65535


@dataclass(frozen=True)
class Structure:
    """One structure as drawn.

    Attributes
    ----------
    organ : Organ
        Its number, name, colour and code.
    contours : tuple of ndarray
        Closed outlines, each of shape (points, 3), LPS millimetres.
    open_contours : int
        How many contours were left out because they enclose nothing (points, open lines).
    """

    organ: Organ
    contours: tuple[Points, ...]
    open_contours: int


@dataclass(frozen=True)
class StructureSet:
    """What a structure set says.

    Attributes
    ----------
    structures : tuple of Structure
        In the file's order.
    series : tuple of str
        SeriesInstanceUIDs that it says it was drawn on.
    instances : frozenset of str
        SOPInstanceUIDs that its contours say they were drawn on.
    """

    structures: tuple[Structure, ...]
    series: tuple[str, ...]
    instances: frozenset[str]


def read_structures(path: Path) -> StructureSet:
    """Read a structure set.

    Raises
    ------
    FormatError
        If it is damaged or holds no structure.
    """
    dataset = read_whole(path)
    with parsing(path, "its structures cannot be read"):
        found = StructureSet(
            structures=tuple(_structures(dataset)),
            series=tuple(dict.fromkeys(_referenced_series(dataset))),
            instances=frozenset(_referenced_instances(dataset)),
        )
    if not any(structure.contours for structure in found.structures):
        raise FormatError(
            f"{path} holds no closed contour, so it outlines nothing; export it again."
        )
    return found


def rasterise(path: Path, found: StructureSet, grid: Geometry) -> LabelGrid:
    """Fill the contours of all structures on a grid; later structures win.

    Parameters
    ----------
    path : Path
        The structure set, for the message.
    found : StructureSet
        What is in it.
    grid : Geometry
        The scan that it was drawn on.

    Raises
    ------
    FormatError
        If a contour does not lie in the plane of the slices, or outside of all of them.
    """
    largest = max(structure.organ.id for structure in found.structures)
    labels = np.zeros(grid.shape, dtype=np.uint8 if largest < 256 else np.uint16)
    overlap = between = 0
    drawn: list[Organ] = []
    for structure in found.structures:
        if not structure.contours:
            continue
        masks, shifted = _filled(path, structure, grid)
        between += shifted
        drawn.append(structure.organ)
        for z, mask in masks.items():
            overlap += int(np.count_nonzero(labels[z][mask]))
            labels[z][mask] = structure.organ.id
    notes = []
    if overlap:
        notes.append(f"Structures overlap in {overlap:,} voxels, which went to the later one.")
    if between:
        notes.append(f"{between} contours lie between two slices and were filled on the nearest.")
    notes.extend(_left_out(found))
    return LabelGrid(labels, grid.affine, LabelScheme(organs=tuple(drawn)), tuple(notes))


def _filled(
    path: Path, structure: Structure, grid: Geometry
) -> tuple[dict[int, NDArray[np.bool_]], int]:
    """Give a structure's mask on every slice it touches, and how many contours were moved."""
    from skimage.draw import polygon2mask

    masks: dict[int, NDArray[np.bool_]] = {}
    shifted = 0
    for contour in structure.contours:
        index = grid.index(contour)
        height = index[:, 0]
        z = int(np.clip(np.rint(height.mean()), -1, grid.shape[0]))
        if np.ptp(height) > _FLAT_SLICES:
            raise FormatError(
                f"{path} cannot be put on the scan: a contour of '{structure.organ.name}' does "
                "not lie in the plane of the slices; export it for this series."
            )
        if not 0 <= z < grid.shape[0]:
            raise FormatError(
                f"{path} cannot be put on the scan: a contour of '{structure.organ.name}' lies "
                "beyond its slices; choose the series that it was drawn on."
            )
        shifted += bool(np.abs(height - z).max() > _ON_SLICE)
        inside = polygon2mask(grid.shape[1:], index[:, 1:])
        masks[z] = masks[z] ^ inside if z in masks else inside
    return masks, shifted


def _left_out(found: StructureSet) -> Iterator[str]:
    empty = [s.organ.name for s in found.structures if not s.contours]
    if empty:
        yield f"Structures without a closed contour were left out: {', '.join(empty)}."
    lines = sum(s.open_contours for s in found.structures if s.contours)
    if lines:
        yield f"{lines} points or open lines, which enclose nothing, were left out."


def _structures(dataset: Dataset) -> Iterator[Structure]:
    contours = {int(c.ReferencedROINumber): c for c in dataset.get("ROIContourSequence") or ()}
    codes = {
        int(o.ReferencedROINumber): next(iter(o.get("RTROIIdentificationCodeSequence") or ()), None)
        for o in dataset.get("RTROIObservationsSequence") or ()
    }
    items = list(dataset.get("StructureSetROISequence") or ())
    numbers = [int(item.ROINumber) for item in items]
    usable = len(set(numbers)) == len(numbers) and all(1 <= n <= _LARGEST_ID for n in numbers)
    for place, (number, item) in enumerate(zip(numbers, items, strict=True), 1):
        label = number if usable else place
        drawn = contours.get(number)
        lines = list(drawn.get("ContourSequence") or ()) if drawn is not None else []
        closed = [line for line in lines if line.get("ContourGeometricType") in _CLOSED]
        organ = Organ(
            id=label,
            name=text(item, "ROIName") or f"label {label}",
            colour=_colour(drawn, label),
            snomed=snomed_of(codes.get(number)),
        )
        yield Structure(organ, tuple(map(_points, closed)), len(lines) - len(closed))


def _points(line: Dataset) -> Points:
    points = np.array([float(v) for v in line.ContourData], dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all() or len(points) == 0:
        raise ValueError("ContourData is no set of points")
    return points


def _colour(drawn: Dataset | None, label: int) -> str:
    value = drawn.get("ROIDisplayColor") if drawn is not None else None
    if value is None or len(value) != 3:
        return distinct_colour(label)
    return hex_colour(int(part) / 255 for part in value)


def _referenced_series(dataset: Dataset) -> Iterator[str]:
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield str(series.get("SeriesInstanceUID") or "")


def _referenced_instances(dataset: Dataset) -> Iterator[str]:
    for drawn in dataset.get("ROIContourSequence") or ():
        for line in drawn.get("ContourSequence") or ():
            for image in line.get("ContourImageSequence") or ():
                yield str(image.get("ReferencedSOPInstanceUID") or "")
