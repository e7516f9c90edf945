"""What must not get worse, and the verdict."""

from __future__ import annotations

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.report import ScoreTable
from napari_hybridseg.finetune.same_scan import Learnt
from napari_hybridseg.finetune.sources import Source, TrainingCase, open_source
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.resources import sample_volumes_folder

_NOISE = 0.001
_ORGAN_LOSS = 0.05


def guard_cases(
    options: FineTuneOptions,
    card: ModelCard,
    rehearsed: tuple[TrainingCase, ...],
    rehearsal: Source | None,
    learnt: tuple[TrainingCase, ...],
) -> tuple[str, tuple[TrainingCase, ...]]:
    """Choose the cases that are scored before and after, and say what they are.

    Raises
    ------
    HybridSegError
        If the folder of the options cannot be used.
    """
    if options.guard is not None:
        source = open_source(options.guard)
        name, pool = source.name, source.heldout or source.cases
    elif rehearsal is not None:
        used = {case.sha256 for case in rehearsed}
        unused = tuple(case for case in rehearsal.cases if case.sha256 not in used)
        name, pool = rehearsal.name, rehearsal.heldout or unused
    else:
        name, pool = _own_sample(card)
    return name, Learnt((*learnt, *rehearsed)).others(pool, options.guard_cases)


def verdict(
    cases: ScoreTable | None, guard: ScoreTable | None, tolerance: float
) -> tuple[bool, str]:
    """Say whether a result may become the default, and why, with the numbers."""
    sentences: list[str] = []
    good = True
    if cases is None:
        good = False
        sentences.append("There was no time to score the result, so it is not recommended.")
    else:
        good = cases.gain >= -_NOISE
        sentences.append(_change(cases, "On the corrected cases"))
        if cases.measured == "training cases":
            sentences.append("That was measured on the training cases, so it flatters.")
    if guard is None:
        sentences.append("No guard set was scored: what was forgotten is not known.")
    else:
        fallen = [
            organ
            for organ in guard.organs
            if organ.dice_before is not None
            and organ.dice_after is not None
            and organ.dice_before - organ.dice_after > _ORGAN_LOSS
        ]
        good = good and guard.gain >= -tolerance - 1e-9 and not fallen
        sentences.append(_change(guard, "On the guard set"))
        sentences += [
            f"There {organ.name} fell from {organ.dice_before:.3f} to {organ.dice_after:.3f}."
            for organ in fallen
        ]
    if cases is not None and not good:
        sentences.append("It is not recommended as the new default.")
    return good, " ".join(sentences)


def _change(table: ScoreTable, where: str) -> str:
    way = "rose" if table.gain > _NOISE else "fell" if table.gain < -_NOISE else "stayed"
    before, after = table.dice_before or 0.0, table.dice_after or 0.0
    if way == "stayed":
        return f"{where} the mean Dice stayed at {after:.3f}."
    return f"{where} the mean Dice {way} by {abs(table.gain):.3f} ({before:.3f} to {after:.3f})."


def _own_sample(card: ModelCard) -> tuple[str, tuple[TrainingCase, ...]]:
    """Give the sample volumes that came with the parent, if they have its labels."""
    try:
        source = open_source(sample_volumes_folder())
    except HybridSegError:
        return "", ()
    if not card.labels.name or source.name != card.labels.name:
        return "", ()
    return source.name, source.cases
