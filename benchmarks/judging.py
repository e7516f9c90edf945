"""A claim, its target, and whether the rows keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rows import NotMeasured, Rows

GPU = "no GPU here"
UNEXPLAINED = "no cause is known beside what the rows and the machine's load tell"


@dataclass(frozen=True)
class Target:
    """A bound that a number must keep."""

    relation: Literal["<=", ">="]
    bound: float
    unit: str = ""

    def is_met(self, number: float) -> bool:
        """Compare; NaN meets nothing."""
        return number <= self.bound if self.relation == "<=" else number >= self.bound

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥"}[self.relation]
        return f"{sign} {self.worded(self.bound)}"

    def worded(self, number: float) -> str:
        """Write a number with the unit."""
        digits = f"{number:.6f}" if self.unit == "of voxels" else f"{number:.3g}"
        return f"{digits}{'' if self.unit in ('', 'x') else ' '}{self.unit}"


@dataclass(frozen=True)
class Claim:
    """One line of issue 4.

    Attributes
    ----------
    title : str
        What is claimed, in words.
    benchmark : str
        Whose rows it is read off; see ``entries.ENTRIES``.
    target : Target
        What the number must keep.
    measure : callable
        Gives the number from the rows, or raises ``NotMeasured``.
    needs_gpu : bool
        Whether it can be measured on CUDA only.
    reason : str
        Why it is not met, where it is not.
    because : callable, optional
        Reads the reason off the rows; nothing where they do not tell, and then ``reason`` counts.
    """

    title: str
    benchmark: str
    target: Target
    measure: Callable[[Rows], float]
    needs_gpu: bool = False
    reason: str = UNEXPLAINED
    because: Callable[[Rows], str] | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a claim; ``why`` says why it was not measured, or why it is not met."""

    claim: Claim
    number: float | None
    why: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is kept; None where nothing was measured."""
        return None if self.number is None else self.claim.target.is_met(self.number)

    @property
    def told(self) -> str:
        """The verdict in words."""
        return {
            True: "met",
            False: f"**not met**: {self.why or self.claim.reason}",
            None: f"not measured: {self.why}",
        }[self.is_met]


def judge(claim: Claim, rows: Rows, failure: str = "", has_gpu: bool = False) -> Verdict:
    """Compute a claim's number and compare it.

    Parameters
    ----------
    claim : Claim
    rows : sequence of mappings
        What its benchmark gave.
    failure : str
        Why the benchmark did not run, or not to its end.
    has_gpu : bool
        Whether there is one here.
    """
    if claim.needs_gpu and not has_gpu:
        return Verdict(claim, None, GPU)
    try:
        verdict = Verdict(claim, float(claim.measure(rows)))
    except NotMeasured as error:
        return Verdict(claim, None, failure or str(error))
    if verdict.is_met or claim.because is None:
        return verdict
    return Verdict(claim, verdict.number, claim.because(rows))
