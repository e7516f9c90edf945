"""Which organ is which, in cases that number and name them differently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_hybridseg.corrections import MergedScheme, merge_schemes
from napari_hybridseg.finetune.scoring import ToScore
from napari_hybridseg.finetune.sources import TrainingCase, named_like
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip


@dataclass(frozen=True)
class Numbering:
    """The new checkpoint's labels, and how each case's numbers are brought to them.

    The parent's organs come first, in their order; organs that only the corrections name are
    added. What only rehearsed or guard cases name is background, as it is to the parent.
    """

    merged: MergedScheme
    schemes: tuple[LabelScheme, ...]

    @classmethod
    def of(
        cls,
        parent: LabelScheme,
        learnt: Iterable[TrainingCase],
        others: Iterable[TrainingCase],
    ) -> Numbering:
        """Put the schemes of cases together.

        Raises
        ------
        CorrectionError
            If names and numbers contradict each other.
        """
        new = tuple(dict.fromkeys(case.scheme for case in learnt))
        grown = merge_schemes(parent, (named_like(scheme, parent) for scheme in new))
        more = tuple(s for s in dict.fromkeys(c.scheme for c in others) if s not in new)
        wider = merge_schemes(grown.scheme, (named_like(s, grown.scheme) for s in more))
        known = set(grown.scheme.ids)
        tables = tuple(
            {old: number if number in known else 0 for old, number in table.items()}
            for table in wider.tables
        )
        merged = MergedScheme(grown.scheme, grown.added, (*grown.tables, *tables))
        return cls(merged, (*new, *more))

    def tables(self, cases: Sequence[TrainingCase]) -> list[int]:
        """Give the place of each case's table."""
        return [self.schemes.index(case.scheme) for case in cases]

    def to_score(self, cases: Sequence[TrainingCase]) -> list[ToScore]:
        """Give cases with their tables."""
        pairs = zip(cases, self.tables(cases), strict=True)
        return [ToScore(case, table) for case, table in pairs]
