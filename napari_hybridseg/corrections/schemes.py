"""One label scheme for cases that do not name the same organs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.volume import smallest_label_type

_LARGEST_ID = 65535


@dataclass(frozen=True)
class MergedScheme:
    """A scheme that holds the organs of several.

    Attributes
    ----------
    scheme : LabelScheme
        The base's organs in their order with their numbers, then the new ones.
    added : tuple of Organ
        The new ones.
    tables : tuple of dict
        For every scheme that was merged in: its numbers to the merged scheme's.
    """

    scheme: LabelScheme
    added: tuple[Organ, ...]
    tables: tuple[Mapping[int, int], ...]

    def renumber(
        self, labels: NDArray[np.unsignedinteger], which: int
    ) -> NDArray[np.unsignedinteger]:
        """Bring the labels of the ``which``-th scheme's cases to the merged numbers.

        Raises
        ------
        CorrectionError
            If a label is not in that scheme.
        """
        table = self.tables[which]
        top = int(labels.max(initial=0))
        known = np.zeros(top + 1, dtype=smallest_label_type(max(self.scheme.ids, default=0)))
        unknown = np.ones(top + 1, dtype=bool)
        unknown[0] = False
        for old, new in table.items():
            if old <= top:
                known[old], unknown[old] = new, False
        if unknown.any():
            stray = [int(n) for n in np.flatnonzero(unknown) if (labels == n).any()]
            if stray:
                raise CorrectionError(f"The labels {stray} have no name in the case's scheme.")
        return known[labels]


def merge_schemes(base: LabelScheme, others: Iterable[LabelScheme]) -> MergedScheme:
    """Merge schemes by the organs' names.

    An organ is the same where its name is the same, whatever its number; capital letters and
    spaces around it do not count. The base keeps its numbers and its order. A new organ keeps its
    own number where that is free, and gets the next free one where it is not.

    Raises
    ------
    CorrectionError
        If a scheme gives one name to two numbers, or two schemes give one name two SNOMED codes.
    """
    by_name = _named(base)
    organs, taken, tables = list(base.organs), set(base.ids), []
    for scheme in others:
        table: dict[int, int] = {}
        for key, organ in _named(scheme).items():
            known = by_name.get(key)
            if known is None:
                number = organ.id if organ.id not in taken else _free(taken)
                known = _numbered(organ, number)
                organs.append(known)
                taken.add(number)
                by_name[key] = known
            _refuse_two_codes(known, organ)
            table[organ.id] = known.id
        tables.append(table)
    added = tuple(organs[len(base.organs) :])
    return MergedScheme(LabelScheme(name=base.name, organs=tuple(organs)), added, tuple(tables))


def _named(scheme: LabelScheme) -> dict[str, Organ]:
    found: dict[str, Organ] = {}
    for organ in scheme.organs:
        key = " ".join(organ.name.casefold().split())
        if key in found:
            raise CorrectionError(
                f"{organ.name!r} is the name of the labels {found[key].id} and {organ.id}; "
                "rename one, so that cases can be put together by name."
            )
        found[key] = organ
    return found


def _numbered(organ: Organ, number: int) -> Organ:
    if number == organ.id:
        return organ
    return organ.model_copy(update={"id": number, "colour": distinct_colour(number)})


def _free(taken: set[int]) -> int:
    number = max(taken) + 1
    if number <= _LARGEST_ID:
        return number
    return next(n for n in range(1, _LARGEST_ID + 1) if n not in taken)


def _refuse_two_codes(known: Organ, organ: Organ) -> None:
    if known.snomed and organ.snomed and known.snomed != organ.snomed:
        raise CorrectionError(
            f"{organ.name!r} has the SNOMED-CT code {known.snomed} in one scheme and "
            f"{organ.snomed} in another; rename one of the organs."
        )
