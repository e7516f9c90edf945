"""Cases as the network sees them, and the sentences for those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections import MergedScheme
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Note, Progress
from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.finetune.sources import TrainingCase
from napari_hybridseg.inference.preprocess import Prepared, prepare, resample_nearest
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.training.dataset import LoadedCase
from napari_hybridseg.volume import (
    LabelMap,
    Volume,
    load_label_map,
    smallest_label_type,
)


@dataclass(frozen=True)
class LearnCase:
    """A case to learn from.

    Attributes
    ----------
    case : TrainingCase
        Where it is.
    loaded : LoadedCase
        Its image (C, Z, Y, X) and the right channel of every voxel (Z, Y, X).
    edited : ndarray
        Flat indices into (Z, Y, X) of the voxels that a person corrected.
    unknown : tuple of int
        The channels of organs that its labels do not speak of.
    """

    case: TrainingCase
    loaded: LoadedCase
    edited: NDArray[np.int64]
    unknown: tuple[int, ...]


class Unusable(HybridSegError):
    """A case that is left out; the message says why."""


def load_all(
    cases: Sequence[TrainingCase],
    merged: MergedScheme,
    tables: Sequence[int],
    card: ModelCard,
    found: list[LearnCase],
    left_out: list[str],
) -> Iterator[Event]:
    """Read cases into ``found``; those that cannot be used are told of in ``left_out``.

    Parameters
    ----------
    cases, tables : sequences
        The cases, and for each the place of its scheme in ``merged``.

    Raises
    ------
    FineTuneError
        If a label does not lie on its image's grid, or an image has other channels than the
        network takes: to leave those out silently would hide a mistake.
    """
    told: set[str] = set()
    for done, (case, table) in enumerate(zip(cases, tables, strict=True), 1):
        try:
            found.append(load_case(case, merged, table, card))
        except FineTuneError:
            raise
        except HybridSegError as error:
            left_out.append(f"{case.name} is left out: {error}")
            yield Note(left_out[-1])
        else:
            new = [note for note in found[-1].loaded.notes if note not in told]
            told.update(new)
            yield from (Note(f"The label map of {case.name}: {note}") for note in new)
        yield Progress("Reading cases", done, len(cases))


def load_case(case: TrainingCase, merged: MergedScheme, table: int, card: ModelCard) -> LearnCase:
    """Read and prepare one case.

    Raises
    ------
    Unusable, FineTuneError, HybridSegError
        As `load_all` tells them apart.
    """
    volume, labels = case.read()
    _refuse_channels(volume, card)
    _refuse_poisoned(volume)
    prepared = prepare(volume, card.preprocessing)
    scheme = merged.scheme
    channels = _channel_of_label(scheme.ids)[merged.renumber(labels.array, table)]
    known = {scheme.ids.index(new) + 1 for new in merged.tables[table].values() if new}
    return LearnCase(
        case=case,
        loaded=LoadedCase(case.name, prepared.array, _onto(channels, prepared), labels.notes),
        edited=_edited(case, labels, prepared),
        unknown=tuple(c for c in range(1, len(scheme.ids) + 1) if c not in known),
    )


def _edited(case: TrainingCase, labels: LabelMap, prepared: Prepared) -> NDArray[np.int64]:
    if case.edited is None:
        return np.empty(0, np.int64)
    mask = load_label_map(case.edited)
    if mask.array.shape != labels.array.shape:
        raise Unusable("its mask of edited voxels has another size than its labels.")
    return np.flatnonzero(_onto((mask.array != 0).astype(np.uint8), prepared))


def _onto(array: NDArray[np.unsignedinteger], prepared: Prepared) -> NDArray[np.unsignedinteger]:
    turned = np.ascontiguousarray(prepared.change.apply(array)[prepared.box])
    return resample_nearest(turned, prepared.working.shape)


def _channel_of_label(ids: Sequence[int]) -> NDArray[np.unsignedinteger]:
    table = np.zeros(max(ids) + 1, dtype=smallest_label_type(len(ids)))
    table[list(ids)] = np.arange(1, len(ids) + 1)
    return table


def _refuse_channels(volume: Volume, card: ModelCard) -> None:
    if volume.array.shape[0] != card.in_channels:
        raise FineTuneError(
            f"{volume.name} has {counted(volume.array.shape[0], 'channel')}, and {card.name} takes "
            f"{card.in_channels}; take it out of the set."
        )


def _refuse_poisoned(volume: Volume) -> None:
    if not np.issubdtype(volume.array.dtype, np.floating):
        return
    wrong = int((~np.isfinite(volume.array)).sum())
    if wrong:
        raise Unusable(
            f"{counted(wrong, 'voxel')} of its image {'is' if wrong == 1 else 'are'} not numbers "
            "(NaN or infinite); repair the image."
        )
