"""How the time of a job is divided."""

from __future__ import annotations

from dataclasses import dataclass

from napari_hybridseg.finetune.clock import BusyClock
from napari_hybridseg.finetune.errors import FineTuneError

SHORTEST_TRAINING_S = 15.0

_SCORING_SHARE = 0.2
_CASES_SHARE = 0.12
_SLACK = 1.5  # the machine may be busier by then
_WRITING_S = 1.0


@dataclass
class Budget:
    """The parts of a job's time; everything is None without a limit.

    Attributes
    ----------
    clock : BusyClock
        The job's clock, with its limit.
    cases_s, guard_s : float
        What the first scoring of the cases and of the guard set took; the second is taken to
        last as long.
    """

    clock: BusyClock
    cases_s: float = 0.0
    guard_s: float = 0.0

    @property
    def cases_until_s(self) -> float | None:
        """When the parent's scoring on the cases must end."""
        limit = self.clock.limit_s
        return None if limit is None else _CASES_SHARE * limit

    @property
    def guard_until_s(self) -> float | None:
        """When the parent's scoring on the guard set must end."""
        limit = self.clock.limit_s
        return None if limit is None else _SCORING_SHARE * limit

    @property
    def end_s(self) -> float | None:
        """When the last scoring must end."""
        limit = self.clock.limit_s
        return None if limit is None else limit - _WRITING_S

    def folds(self, wished: int) -> int:
        """Give the parts of a cross-validation for which there is time: all or none."""
        training = self._training_s()
        if training is None or training / (wished + 1) >= SHORTEST_TRAINING_S:
            return wished
        return 0

    def share_s(self, trainings: int, spent_s: float = 0.0) -> float | None:
        """Give the seconds of the next of so many trainings, ``spent_s`` of it included.

        Raises
        ------
        FineTuneError
            If nothing is left.
        """
        training = self._training_s()
        if training is None:
            return None
        if training <= 0 and not spent_s:
            limit = (self.clock.limit_s or 0.0) / 60
            needed = (limit * 60 - training + SHORTEST_TRAINING_S) / 60
            raise FineTuneError(
                f"{limit:g} minutes are too short: reading and scoring the cases leaves nothing "
                f"to learn in; give {needed:.1f} minutes or more."
            )
        return max(training, 0.0) / trainings + spent_s

    def _training_s(self) -> float | None:
        left = self.clock.left_s
        if left is None:
            return None
        return left - _SLACK * (self.cases_s + self.guard_s) - _WRITING_S
