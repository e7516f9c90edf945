"""DICOM segmentations (SEG, PS3.3 A.51 and A.92) as label maps on their own grid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.colours import hex_colour
from napari_hybridseg.formats.dicom.codes import snomed_of
from napari_hybridseg.formats.dicom.headers import frames_of, text
from napari_hybridseg.formats.dicom.libraries import parsing, read_whole
from napari_hybridseg.formats.grids import Matrix
from napari_hybridseg.formats.header_text import damaged
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.older_python import zip

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom import Dataset

Labels = NDArray[np.unsignedinteger]

_MOST_SLICES = 4096
_INSIDE = 0.5
_LARGEST_ID = 65535
_NUMBERED = re.compile(r"label (\d+)")


@dataclass(frozen=True)
class LabelGrid:
    """Labels as a file states them.

    Attributes
    ----------
    array : ndarray
        Shape (Z, Y, X).
    affine : ndarray
        4x4, from (x, y, z) index to LPS millimetres.
    scheme : LabelScheme
        The segments.
    notes : tuple of str
        What was lost or guessed.
    """

    array: Labels
    affine: Matrix
    scheme: LabelScheme
    notes: tuple[str, ...] = ()


def description_of(organ: Organ) -> str:
    """Give the description that keeps a label's number: SEG itself counts segments from 1."""
    return f"label {organ.id}"


def read_segments(path: Path) -> LabelGrid:
    """Read a binary, fractional or label map segmentation.

    Raises
    ------
    FormatError
        If it is damaged, empty, or drawn on something that has no place in the patient.
    """
    from highdicom.seg import Segmentation

    dataset = read_whole(path)
    with parsing(path, "its segments cannot be read"):
        segmentation = Segmentation.from_dataset(dataset, copy=False)
        if not all(frame.is_placed for frame in frames_of(path, segmentation)):
            raise FormatError(
                f"{path} is no volume: its segments state no position in the patient (drawn on a "
                "plain X-ray or a microscope slide?); choose the segmentation of a CT or MR series."
            )
        geometry = segmentation.get_volume_geometry(allow_missing_positions=True)
        if geometry is None:
            raise FormatError(
                f"{path} is no volume: its slices are not parallel and evenly spaced; export it "
                "again on the grid of the scan."
            )
        if geometry.spatial_shape[0] > _MOST_SLICES:
            raise damaged(path, f"it spans {geometry.spatial_shape[0]:,} slices")
        numbered = _numbered(segmentation)
        array, notes = _merged(segmentation, numbered, geometry.spatial_shape)
        # highdicom counts a volume's axes (slice, row, column); ours are (x, y, z).
        affine = np.asarray(geometry.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    scheme = LabelScheme(organs=tuple(_organ(item, label) for label, item in numbered.items()))
    return LabelGrid(*_upright(array, affine), scheme, notes)


def series_of(dataset: Dataset) -> tuple[str, ...]:
    """Give the SeriesInstanceUIDs that a segmentation says it was made on."""
    items = dataset.get("ReferencedSeriesSequence") or ()
    return tuple(str(item.get("SeriesInstanceUID") or "") for item in items)


def _numbered(segmentation: Segmentation) -> dict[int, Dataset]:
    """Give each segment the number it shall have in the label map."""
    items: dict[int, Dataset] = {
        int(item.SegmentNumber): item
        for item in segmentation.SegmentSequence
        if 1 <= int(item.SegmentNumber) <= _LARGEST_ID
    }
    stated = [_NUMBERED.fullmatch(text(item, "SegmentDescription")) for item in items.values()]
    labels = [int(match[1]) for match in stated if match]
    whole = len(labels) == len(items) == len(set(labels))
    if whole and all(1 <= label <= _LARGEST_ID for label in labels):
        return dict(zip(labels, items.values(), strict=True))
    return items


def _merged(
    segmentation: Segmentation, numbered: dict[int, Dataset], shape: tuple[int, ...]
) -> tuple[Labels, tuple[str, ...]]:
    kind = np.uint8 if max(numbered, default=0) < 256 else np.uint16
    merged = np.zeros(shape, dtype=kind)
    if str(segmentation.SegmentationType) == "LABELMAP":
        stored = segmentation.get_volume(combine_segments=True).array
        for label, item in numbered.items():
            merged[stored == int(item.SegmentNumber)] = label
        return merged, ()
    overlap = 0
    for label, inside in _masks(segmentation, numbered):
        overlap += int(np.count_nonzero(merged[inside]))
        merged[inside] = label
    notes = []
    if str(segmentation.SegmentationType) == "FRACTIONAL":
        notes.append(f"The segments are fractional: voxels from {_INSIDE:g} up were taken.")
    if overlap:
        notes.append(f"Segments overlap in {overlap:,} voxels, which went to the later one.")
    return merged, tuple(notes)


def _masks(
    segmentation: Segmentation, numbered: dict[int, Dataset]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the segments one by one: all at once would need a volume for each."""
    for label, item in numbered.items():
        volume = segmentation.get_volume(segment_numbers=[int(item.SegmentNumber)])
        yield label, volume.array[..., 0] >= _INSIDE


def _organ(item: Dataset, label: int) -> Organ:
    name = text(item, "SegmentLabel") or f"label {label}"
    return Organ(id=label, name=name, colour=_colour(item, label), snomed=_snomed(item))


def _colour(item: Dataset, label: int) -> str:
    from highdicom.color import CIELabColor

    value: Any = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return distinct_colour(label)
    # what a screen cannot show gets the nearest colour that it can
    rgb = CIELabColor.from_dicom_value(tuple(int(part) for part in value)).to_rgb(clip=True)
    return hex_colour(part / 255 for part in rgb)


def _snomed(item: Dataset) -> str:
    for sequence in ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence"):
        code = snomed_of(next(iter(item.get(sequence) or ()), None))
        if code:
            return code
    return ""


def _upright(array: Labels, affine: Matrix) -> tuple[Labels, Matrix]:
    """Let slices run along their normal, as those of a series do."""
    if np.linalg.det(affine[:3, :3]) >= 0:
        return array, affine
    turned = affine.copy()
    turned[:3, 3] += affine[:3, 2] * (len(array) - 1)
    turned[:3, 2] *= -1
    return array[::-1], turned
