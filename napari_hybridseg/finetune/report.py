"""What a fine-tune did, in numbers; this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Ending = Literal["all steps", "early stop", "time", "stopped"]
Measured = Literal["cross-validated", "training cases", "guard"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OrganChange(_Frozen):
    """One organ before and after: means over the cases in which a number is defined."""

    label: int
    name: str
    dice_before: float | None
    dice_after: float | None
    hd95_before_mm: float | None
    hd95_after_mm: float | None


class CaseChange(_Frozen):
    """One case before and after: means over its organs."""

    name: str
    dice_before: float | None
    dice_after: float | None


class ScoreTable(_Frozen):
    """Scores of the parent and of the new checkpoint on the same cases.

    Attributes
    ----------
    measured : str
        ``"cross-validated"``: each case was scored by a network that had not seen it, trained
        like the one that was saved. ``"training cases"``: by the saved network, which learnt from
        them, so the numbers flatter. ``"guard"``: cases that were not learnt from now.
    data : str
        The same in words for the reader.
    organs, cases : tuple
        The rows.
    hd95_convention : str
        What HD95 means, see ``metrics.distances``.
    """

    measured: Measured
    data: str
    organs: tuple[OrganChange, ...]
    cases: tuple[CaseChange, ...]
    hd95_convention: str = "monai"

    @property
    def dice_before(self) -> float | None:
        """Mean over the organs that both checkpoints know."""
        return _mean(organ.dice_before for organ in self._shared)

    @property
    def dice_after(self) -> float | None:
        """Mean over the organs that both checkpoints know."""
        return _mean(organ.dice_after for organ in self._shared)

    @property
    def hd95_before_mm(self) -> float | None:
        """Mean over the organs that both checkpoints know and that have one."""
        return _mean(organ.hd95_before_mm for organ in self._shared)

    @property
    def hd95_after_mm(self) -> float | None:
        """Mean over the organs that both checkpoints know and that have one."""
        return _mean(organ.hd95_after_mm for organ in self._shared)

    @property
    def gain(self) -> float:
        """Mean Dice after minus before; 0 if there is no organ that both know."""
        return (self.dice_after or 0.0) - (self.dice_before or 0.0)

    @property
    def _shared(self) -> list[OrganChange]:
        return [
            organ
            for organ in self.organs
            if organ.dice_before is not None and organ.dice_after is not None
        ]


class FineTuneReport(_Frozen):
    """The result of a fine-tune.

    Attributes
    ----------
    path, sha256, name
        The new checkpoint.
    parent, parent_sha256
        The checkpoint that it began as.
    strategy : str
        What was trained.
    steps, minutes
        Of the last training, and of the whole job.
    ending : str
        Why the last training ended.
    cases : ScoreTable or None
        Before and after on the corrections; None if there was no time to score them.
    guard : ScoreTable or None
        Before and after on the guard set; None without one.
    recommended : bool
        Whether a face may offer it as the new default.
    verdict : str
        Why, or why not, in a sentence or two with the numbers.
    left_out : tuple of str
        A sentence for every case that was not learnt from.
    added : tuple of str
        The organs that are new.
    """

    path: Path
    sha256: str
    name: str
    parent: Path
    parent_sha256: str
    strategy: str
    steps: int
    minutes: float
    ending: Ending
    cases: ScoreTable | None
    guard: ScoreTable | None
    recommended: bool
    verdict: str
    left_out: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
