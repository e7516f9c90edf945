"""Where two label maps disagree: the voxels, and the worst places of an organ's border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.labels import LabelScheme, Organ
from napari_hybridseg.metrics.distances import Convention
from napari_hybridseg.metrics.label_maps import on_grid_of, with_white_as_organ

if TYPE_CHECKING:
    from napari_hybridseg.volume import LabelMap

Place = tuple[float, float, float]

FALSE_POSITIVE, FALSE_NEGATIVE, WRONG_ORGAN = 1, 2, 3
ERROR_SCHEME = LabelScheme(
    organs=(
        Organ(id=FALSE_POSITIVE, name="too much", colour="#e8590c"),
        Organ(id=FALSE_NEGATIVE, name="missing", colour="#1c7ed6"),
        Organ(id=WRONG_ORGAN, name="another organ", colour="#ae3ec9"),
    )
)


@dataclass(frozen=True)
class ErrorLine:
    """The distance from a border voxel of one map to the nearest of the other.

    ``start`` and ``end`` are (Z, Y, X) in voxels of the reference's canonical grid.
    """

    start: Place
    end: Place
    length_mm: float


@dataclass(frozen=True)
class OrganPlaces:
    """Where to look at an organ.

    Attributes
    ----------
    label : int
    centroid : tuple of float or None
        Its middle in the prediction, or in the reference where that is all there is; (Z, Y, X)
        in voxels of the reference's canonical grid. None where neither has it.
    worst : ErrorLine or None
        The largest distance between the two borders; None unless both maps have the organ.
    hd95 : ErrorLine or None
        The distance that HD95 stands for, as near as one border voxel has it.
    """

    label: int
    centroid: Place | None = None
    worst: ErrorLine | None = None
    hd95: ErrorLine | None = None


@dataclass(frozen=True)
class Errors:
    """Where a prediction is wrong; ``overlay`` has the labels of ``ERROR_SCHEME``."""

    overlay: LabelMap
    places: tuple[OrganPlaces, ...] = ()


def find_errors(
    prediction: LabelMap,
    reference: LabelMap,
    labels: Sequence[int],
    convention: Convention = "monai",
) -> Errors:
    """Find out where a prediction differs from a reference.

    Parameters
    ----------
    prediction, reference : LabelMap
        On any two grids that overlap; the answer is on the reference's.
    labels : sequence of int
        The organs that count. With a single one, what is another organ is no error of its own:
        it is too much or missing.
    convention : {"monai", "pooled"}
        What HD95 means.

    Raises
    ------
    ScoreError
        If the two maps share no space.
    """
    prediction, reference = with_white_as_organ(prediction, reference)
    predicted, referred = on_grid_of(prediction, reference), reference.array
    overlay = error_map(predicted, referred, labels)
    spacing = reference.geometry.spacing_zyx
    places = tuple(
        organ_places(predicted, referred, spacing, label, convention) for label in labels
    )
    name = f"errors of {prediction.name}" if prediction.name else "errors"
    return Errors(
        replace(reference, array=overlay, scheme=ERROR_SCHEME, name=name, notes=()), places
    )


def error_map(
    prediction: NDArray[np.unsignedinteger],
    reference: NDArray[np.unsignedinteger],
    labels: Sequence[int],
) -> NDArray[np.uint8]:
    """Mark what is wrong: 1 too much, 2 missing, 3 another organ; all arrays (Z, Y, X)."""
    ours, theirs = np.isin(prediction, labels), np.isin(reference, labels)
    marks = np.zeros(prediction.shape, dtype=np.uint8)
    marks[ours & ~theirs] = FALSE_POSITIVE
    marks[theirs & ~ours] = FALSE_NEGATIVE
    marks[ours & theirs & (prediction != reference)] = WRONG_ORGAN
    return marks


def organ_places(
    prediction: NDArray[np.unsignedinteger],
    reference: NDArray[np.unsignedinteger],
    spacing: Sequence[float],
    label: int,
    convention: Convention = "monai",
) -> OrganPlaces:
    """Find an organ's middle and the worst places of its border.

    Parameters
    ----------
    prediction, reference : ndarray
        Label maps (Z, Y, X) on one grid.
    spacing : sequence of float
        Z, Y, X in millimetres.
    label : int
    convention : {"monai", "pooled"}
        What HD95 means, see `distances.summarise_distances`.
    """
    ours, theirs = prediction == label, reference == label
    shown = ours if ours.any() else theirs
    centroid = _centroid(shown)
    if not (ours.any() and theirs.any()):
        return OrganPlaces(label, centroid)
    lines = _lines(_border(ours), _border(theirs), np.asarray(spacing, dtype=np.float64))
    worst = max(lines, key=lambda both: float(both.lengths.max()))
    return OrganPlaces(
        label,
        centroid,
        worst=worst.line(int(worst.lengths.argmax())),
        hd95=_hd95_line(lines, convention),
    )


@dataclass(frozen=True)
class _Lines:
    """All border voxels of one map, the nearest of the other, and how far that is in mm."""

    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    lengths: NDArray[np.float64]

    def line(self, index: int) -> ErrorLine:
        return ErrorLine(
            _place(self.starts[index]), _place(self.ends[index]), float(self.lengths[index])
        )

    def nearest_to(self, length: float) -> ErrorLine:
        return self.line(int(np.abs(self.lengths - length).argmin()))


def _lines(
    ours: NDArray[np.intp], theirs: NDArray[np.intp], spacing: NDArray[np.float64]
) -> tuple[_Lines, _Lines]:
    from scipy.spatial import cKDTree

    both = []
    for starts, targets in ((ours, theirs), (theirs, ours)):
        lengths, nearest = cKDTree(targets * spacing).query(starts * spacing)
        both.append(_Lines(starts, targets[nearest], lengths))
    return both[0], both[1]


def _hd95_line(lines: tuple[_Lines, _Lines], convention: Convention) -> ErrorLine:
    if convention == "pooled":
        joined = _Lines(
            *(
                np.concatenate([getattr(one, part) for one in lines])
                for part in ("starts", "ends", "lengths")
            )
        )
        return joined.nearest_to(float(np.percentile(joined.lengths, 95)))
    larger = max(lines, key=lambda one: float(np.percentile(one.lengths, 95)))
    return larger.nearest_to(float(np.percentile(larger.lengths, 95)))


def _border(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give the voxels (N, 3) that an erosion with the 6-connected cross takes away."""
    from scipy.ndimage import binary_erosion, find_objects, generate_binary_structure

    (box,) = find_objects(mask.astype(np.uint8))
    part = mask[box]
    flat = mask.shape[0] == 1  # one slice is a picture: nothing lies above and below it
    cross = generate_binary_structure(3, 1)
    if flat:
        cross[[0, 2]] = False
    first = np.array([along.start for along in box], dtype=np.intp)
    return np.argwhere(part & ~binary_erosion(part, cross)) + first


def _centroid(mask: NDArray[np.bool_]) -> Place | None:
    places = np.nonzero(mask)
    return _place([axis.mean() for axis in places]) if places[0].size else None


def _place(values: Sequence[float] | NDArray[np.generic]) -> Place:
    z, y, x = (float(value) for value in values)
    return z, y, x
