"""Score a prediction against a reference, organ by organ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from napari_hybridseg.metrics.distances import (
    CONVENTIONS,
    Convention,
    SurfaceAgreement,
    summarise_distances,
)
from napari_hybridseg.metrics.inputs import (
    ScoreError,
    checked_pair,
    checked_spacing,
    checked_tolerance,
    label_names,
)
from napari_hybridseg.metrics.overlap import dice, iou, volume_ml
from napari_hybridseg.metrics.scores import OrganScore, ScoreReport, Status

if TYPE_CHECKING:
    from napari_hybridseg.metrics.surface import LabelCounts

ChooseLabels = Callable[[tuple[int, ...]], Mapping[int, str]]


def score_arrays(
    prediction: ArrayLike,
    reference: ArrayLike,
    spacing: Sequence[float],
    labels: Sequence[int] | Mapping[int, str] | None = None,
    tolerance_mm: float = 1.0,
    convention: Convention = "monai",
    threads: int | None = None,
) -> ScoreReport:
    """Score a label map against a reference on the same grid.

    Whole numbers in any type are taken; uint8 and uint16 in C order are scored without a
    copy. A map of one slice (Z = 1) is scored as a 2D picture.

    Parameters
    ----------
    prediction, reference : array_like
        Label maps of shape (Z, Y, X); 0 is background, labels go up to 65535.
    spacing : sequence of float
        Z, Y, X in millimetres.
    labels : sequence of int or mapping of int to str, optional
        The labels to score, in this order, and perhaps their names. Without: all that occur.
    tolerance_mm : float
        How far off a border may be and still count as right in NSD.
    convention : {"monai", "pooled"}
        What HD95 means, see `distances.summarise_distances`.
    threads : int, optional
        Threads to use; as many as there are cores, at most 16, if not given.

    Returns
    -------
    ScoreReport

    Raises
    ------
    ScoreError
        If the maps are no label maps or differ in shape, or spacing, tolerance, convention
        or labels make no sense.
    """
    given = None if labels is None else label_names(labels)
    return score_chosen(
        prediction,
        reference,
        spacing,
        lambda present: label_names(present) if given is None else given,
        tolerance_mm,
        convention,
        threads,
    )


def score_chosen(
    prediction: ArrayLike,
    reference: ArrayLike,
    spacing: Sequence[float],
    choose: ChooseLabels,
    tolerance_mm: float,
    convention: Convention,
    threads: int | None,
    known: Mapping[int, OrganScore] | None = None,
) -> ScoreReport:
    """Score as `score_arrays` does, the labels chosen once it is known which occur.

    Parameters
    ----------
    choose : callable
        Is given the labels that occur in either map; returns those to score with their names.
    known : mapping of int to OrganScore, optional
        Organs that have been scored already, by the same rules, and have not changed since.
    """
    from napari_hybridseg.metrics import surface

    a, b = checked_pair(prediction, reference)
    step, tolerance = checked_spacing(spacing), checked_tolerance(tolerance_mm)
    if convention not in CONVENTIONS:
        choice = " or ".join(CONVENTIONS)
        raise ScoreError(f"{convention!r} is no convention of HD95; use {choice}.")
    threads = threads or surface.usable_threads()

    with ThreadPoolExecutor(threads) as pool:
        counts = surface.count_labels(a, b, pool, threads)
        names = choose(counts.present)
        known = {k: o for k, o in (known or {}).items() if names.get(k) == o.name}
        shared = [label for label in names if label not in known and min(counts.of(label)[:2]) > 0]
        borders_a, borders_b = surface.collect_borders(a, b, counts, shared, pool)
        agreements = {}
        for label in shared:
            pair = borders_a.pop(label), borders_b.pop(label)
            there, back = (
                surface.directed_distances(*way, a.shape[1], step, pool)
                for way in (pair, pair[::-1])
            )
            agreements[label] = summarise_distances(there, back, tolerance, convention)

    organs = tuple(
        known.get(label) or _organ_score(label, name, counts.of(label), step, agreements.get(label))
        for label, name in names.items()
    )
    return ScoreReport(
        organs=organs,
        convention=convention,
        tolerance_mm=tolerance,
        notes=(*_one_sided_notes(organs), *_unlisted_note(counts, names)),
    )


def _organ_score(
    label: int,
    name: str,
    voxels: tuple[int, int, int],
    spacing: Sequence[float],
    agreement: SurfaceAgreement | None,
) -> OrganScore:
    predicted, referred, _ = voxels
    if agreement:
        status: Status = "scored"
        surface = asdict(agreement)
    else:
        status = "not in reference" if predicted else "missed" if referred else "absent in both"
        surface = {} if status == "absent in both" else {"nsd": 0.0}
    overlap = {"dice": dice(*voxels), "iou": iou(*voxels)} if predicted or referred else {}
    return OrganScore(
        label=label,
        name=name,
        status=status,
        volume_ml=volume_ml(predicted, spacing),
        reference_volume_ml=volume_ml(referred, spacing),
        **overlap,
        **surface,
    )


def _one_sided_notes(organs: Sequence[OrganScore]) -> list[str]:
    if not organs:
        return ["Neither label map has an organ: there is nothing to score."]
    notes = []
    for status, meaning in (
        ("missed", "in the reference but not predicted"),
        ("not in reference", "predicted but not in the reference"),
    ):
        names = [organ.name for organ in organs if organ.status == status]
        if names:
            notes.append(
                f"{len(names)} {meaning} ({_listed(names)}): Dice 0, left out of mean distances."
            )
    return notes


def _unlisted_note(counts: LabelCounts, names: Mapping[int, str]) -> list[str]:
    unlisted = [str(label) for label in counts.present if label not in names]
    if not unlisted:
        return []
    return [f"Labels that occur but were not asked for: {_listed(unlisted)}."]


def _listed(words: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
