"""The trainings of a job: one on all cases, and one for each part of the cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from napari_hybridseg.events import Event, Metric, Note
from napari_hybridseg.finetune.budget import Budget
from napari_hybridseg.finetune.clock import StopAsked
from napari_hybridseg.finetune.fitting import Recipe
from napari_hybridseg.finetune.growth import grown_network
from napari_hybridseg.finetune.learner import Learner, learn, start_learner
from napari_hybridseg.finetune.ledger import Ledger
from napari_hybridseg.finetune.loading import LearnCase
from napari_hybridseg.finetune.monitor import Monitor
from napari_hybridseg.finetune.options import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.preparing import Prepared
from napari_hybridseg.finetune.report import Ending
from napari_hybridseg.finetune.sampler import MixedSampler
from napari_hybridseg.training.options import Augmentation

ALL_CASES = "all cases"


@dataclass(frozen=True)
class Lesson:
    """One training.

    Attributes
    ----------
    name, stage : str
        For the state on disk, and for ``Progress``.
    cases, held : tuple of LearnCase
        What is learnt, and what is only looked at.
    number : int
        Its place among the trainings of the job.
    left : int
        Trainings that share the time that is left, this one included.
    """

    name: str
    stage: str
    cases: tuple[LearnCase, ...]
    held: tuple[LearnCase, ...] = ()
    number: int = 0
    left: int = 1


@dataclass(frozen=True)
class Taught:
    """What a training gave: weights on the CPU, the steps it took, and why it ended."""

    weights: dict[str, Tensor]
    steps: int
    ending: Ending


@dataclass(frozen=True)
class Teacher:
    """What the trainings of a job share.

    ``turned`` says whether the corrections' contrast is the parent's turned round.
    """

    fabric: Fabric
    prepared: Prepared
    options: FineTuneOptions
    recipe: Recipe
    augmentation: Augmentation
    scanner: ScannerAugmentation
    turned: bool
    budget: Budget
    ledger: Ledger
    stop: StopAsked
    save: Callable[[], Iterator[Note]]

    def train(self, lesson: Lesson) -> Generator[Event, None, Taught]:
        """Train from the parent's weights, or go on with the ledger's; save at every check."""
        prepared, ledger = self.prepared, self.ledger
        # what was taught on strokes may have seen the case that a part holds out
        weights = prepared.parent.weights() if lesson.held else prepared.start
        network = grown_network(weights, prepared.parent.card, prepared.card)
        learner = start_learner(self.fabric, network, self.recipe, prepared.window)
        if ledger.learner_of == lesson.name:
            learner.resume(ledger.learner)
        limit = shared(self.fabric, self.budget.share_s(lesson.left, learner.seconds))
        events = learn(
            learner,
            self.recipe,
            self._sampler(lesson),
            self._monitors(lesson),
            lesson.stage,
            lesson.number * self.options.steps,
            self.budget.clock,
            limit,
            self.stop,
        )
        ending = yield from self._saving(events, learner, lesson.name)
        state = learner.best or learner.average.state
        weights = {key: value.detach().cpu().clone() for key, value in state.items()}
        return Taught(weights, learner.step, ending)

    def _saving(
        self, events: Generator[Event, None, Ending], learner: Learner, name: str
    ) -> Generator[Event, None, Ending]:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                ending: Ending = end.value
                return ending
            yield event
            if isinstance(event, Metric) and event.name == "loss":
                self.ledger.learner, self.ledger.learner_of = learner.state(), name
                yield from self.save()

    def _sampler(self, lesson: Lesson) -> MixedSampler:
        return MixedSampler(
            lesson.cases,
            self.prepared.rehearsed,
            self.prepared.window,
            self.options,
            self.augmentation,
            self.scanner,
            self.turned,
        )

    def _monitors(self, lesson: Lesson) -> dict[str, Monitor]:
        window, axis = self.prepared.window, self.recipe.slice_axis
        monitors = {"training Dice": Monitor(lesson.cases, window, axis)}
        if lesson.held:
            monitors["validation Dice"] = Monitor(lesson.held, window, axis)
        return monitors


def shared(fabric: Fabric, value: Any) -> Any:
    """Give all processes of a run the first one's value."""
    return value if fabric.world_size == 1 else fabric.broadcast(value)
