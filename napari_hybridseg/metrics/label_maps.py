"""Score label maps that know where they lie and what their labels mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.metrics.distances import Convention
from napari_hybridseg.metrics.inputs import ScoreError, label_names
from napari_hybridseg.metrics.scores import OrganScore, ScoreReport
from napari_hybridseg.metrics.scoring import score_chosen
from napari_hybridseg.volume import white_as_organ

if TYPE_CHECKING:
    from napari_hybridseg.geometry import Geometry
    from napari_hybridseg.volume import LabelMap


@dataclass(frozen=True)
class Scored:
    """A comparison that was made: what with what, and what came of it."""

    prediction: LabelMap
    reference: LabelMap
    report: ScoreReport


def score(
    prediction: LabelMap,
    reference: LabelMap,
    labels: Sequence[int] | Mapping[int, str] | None = None,
    tolerance_mm: float = 1.0,
    convention: Convention = "monai",
    threads: int | None = None,
    since: Scored | None = None,
) -> ScoreReport:
    """Score a label map against a reference, organ by organ, in the reference's space.

    A prediction on another grid is put onto the reference's grid by nearest neighbour first;
    a note in the report says so. Labels are matched by number; a note says where the two
    maps' schemes give one number different names. White (255) of a mask of black and white is
    the other map's organ, where that has only one (`volume.white_as_organ`).

    Parameters
    ----------
    prediction, reference : LabelMap
    labels : sequence of int or mapping of int to str, optional
        The labels to score. Without: the organs of the reference's scheme and all labels that
        occur, with the reference's names, or the prediction's where the reference has none.
    tolerance_mm, convention, threads
        As in `score_arrays`.
    since : Scored, optional
        An earlier comparison with the same reference and labels. Organs that are as they were are
        taken from it: the result is the same, sooner.

    Returns
    -------
    ScoreReport

    Raises
    ------
    ScoreError
        If the two maps share no space, or as in `score_arrays`.
    """
    prediction, reference = with_white_as_organ(prediction, reference)
    notes = [f"{given.name}: {note}" for given in (prediction, reference) for note in given.notes]
    array = on_grid_of(prediction, reference)
    if not prediction.geometry.same_grid(reference.geometry):
        notes.append(_regridded(prediction.geometry, reference.geometry))
    given = None if labels is None else labels if isinstance(labels, Mapping) else tuple(labels)

    def choose(present: tuple[int, ...]) -> Mapping[int, str]:
        if isinstance(given, Mapping):
            return label_names(given)
        wanted = sorted({*present, *reference.scheme.ids}) if given is None else given
        return {label: _name(label, prediction, reference) for label in label_names(wanted)}

    report = score_chosen(
        array,
        reference.array,
        reference.geometry.spacing_zyx,
        choose,
        tolerance_mm,
        convention,
        threads,
        {} if since is None else _unchanged(prediction, reference, since, tolerance_mm, convention),
    )
    if not isinstance(given, Mapping):
        notes.extend(_name_conflicts(report, prediction, reference))
    return report.model_copy(update={"notes": (*notes, *report.notes)})


def with_white_as_organ(prediction: LabelMap, reference: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Take white in either of two label maps for the only organ of the other."""
    return (
        white_as_organ(prediction, reference.scheme),
        white_as_organ(reference, prediction.scheme),
    )


def _regridded(source: Geometry, target: Geometry) -> str:
    here, there = source.describe(), target.describe()
    if here == there:
        here = "as many voxels of the same size in another place"
    return (
        f"The prediction ({here}) was put onto the reference's grid ({there}) by nearest "
        "neighbour: what it has outside the reference's grid does not count, and what the "
        "reference has outside the prediction's counts as missed."
    )


def _unchanged(
    prediction: LabelMap,
    reference: LabelMap,
    since: Scored,
    tolerance_mm: float,
    convention: Convention,
) -> dict[int, OrganScore]:
    """Give the scores of the organs whose voxels are the same ones, by label."""
    before, its_reference = with_white_as_organ(since.prediction, since.reference)
    report = since.report
    if (
        (report.tolerance_mm, report.convention) != (tolerance_mm, convention)
        or not before.geometry.same_grid(prediction.geometry)
        or not its_reference.geometry.same_grid(reference.geometry)
        or not np.array_equal(its_reference.array, reference.array)
    ):
        return {}
    edited = prediction.array != before.array
    changed = {*np.unique(prediction.array[edited]), *np.unique(before.array[edited])}
    return {organ.label: organ for organ in report.organs if organ.label not in changed}


def on_grid_of(prediction: LabelMap, reference: LabelMap) -> NDArray[np.unsignedinteger]:
    """Give a prediction's labels on a reference's grid, (Z, Y, X), by nearest neighbour.

    Raises
    ------
    ScoreError
        If the two maps share no space.
    """
    source, target = prediction.geometry, reference.geometry
    if source.same_grid(target):
        return prediction.array
    if not (source.overlaps(target) and target.overlaps(source)):
        raise ScoreError(
            f"{prediction.name} and {reference.name} lie in different places and share no space; "
            "pick the reference of the same scan."
        )
    from scipy.ndimage import affine_transform

    matrix, offset = _index_map(target, source)
    # "grid-constant", unlike "constant", keeps the outer half of the outermost voxels.
    return affine_transform(
        prediction.array,
        matrix,
        offset,
        output_shape=target.shape,
        order=0,
        mode="grid-constant",
        prefilter=False,
    )


def _index_map(
    target: Geometry, source: Geometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give matrix and offset from the target's array indices (Z, Y, X) to the source's."""
    corners = np.vstack((np.zeros(3), np.eye(3)))
    first, *steps = source.index(target.world(corners))
    return np.stack([step - first for step in steps], axis=1), first


def _name(label: int, prediction: LabelMap, reference: LabelMap) -> str:
    ours, theirs = (lm.scheme.organ(label).name for lm in (prediction, reference))
    return ours if theirs == f"label {label}" else theirs


def _name_conflicts(
    report: ScoreReport, prediction: LabelMap, reference: LabelMap
) -> Iterator[str]:
    for label in (organ.label for organ in report.organs):
        ours, theirs = (lm.scheme.organ(label).name for lm in (prediction, reference))
        if f"label {label}" not in (ours, theirs) and ours.casefold() != theirs.casefold():
            yield (
                f"Label {label} is {ours!r} in the prediction and {theirs!r} in the reference; "
                "they were compared by number."
            )
