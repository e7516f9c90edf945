"""The fine-tune: from a checkpoint and corrected cases to a better checkpoint, and the proof."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric, seed_everything
from torch import Tensor, nn

from napari_hybridseg.checkpoint import save_checkpoint
from napari_hybridseg.counting import counted
from napari_hybridseg.events import Event, Note, Result
from napari_hybridseg.finetune.budget import Budget
from napari_hybridseg.finetune.card import card_augmentation, finished_card
from napari_hybridseg.finetune.clock import BusyClock, StopAsked, never
from napari_hybridseg.finetune.fitting import Recipe
from napari_hybridseg.finetune.growth import grown_network
from napari_hybridseg.finetune.guard import verdict
from napari_hybridseg.finetune.ledger import Ledger
from napari_hybridseg.finetune.monitor import Monitor
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.preparing import Prepared, prepare_job
from napari_hybridseg.finetune.report import FineTuneReport, ScoreTable
from napari_hybridseg.finetune.scanner import choose_scanner, is_turned_round
from napari_hybridseg.finetune.scoring import Scorer, Scores, ToScore, mean_dice, table
from napari_hybridseg.finetune.strategy import (
    FEW_CASES,
    HALF_RIGHT,
    LEARNING_RATES,
    Trained,
    choose_pull,
    choose_strategy,
)
from napari_hybridseg.finetune.teacher import ALL_CASES, Lesson, Taught, Teacher, shared
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.inference.options import SegmentOptions

FEWEST_TO_CROSS_VALIDATE = 3
_WITHOUT_STROKES = (
    "The cross-validation begins with the checkpoint alone, as the strokes may have been drawn on "
    "one of the cases."
)


def finetune(
    source: Path,
    checkpoint: Path,
    out: Path,
    options: FineTuneOptions | None = None,
    *,
    command: str = "",
    overwrite: bool = False,
    stop: StopAsked = never,
) -> Iterator[Event]:
    """Teach a checkpoint from corrected cases and write the result as a new one.

    First the parent is scored on the cases and the guard set, then one training on all cases
    gives the new weights; after that, with three cases or more, a cross-validation of the same
    training says what it is worth. The job's state is kept beside ``out`` (``.state``): the same
    call after an interruption goes on there. The parent is only read.

    Parameters
    ----------
    source : path
        A correction set, or a ``dataset.json``.
    checkpoint : path
        The parent.
    out : path
        The checkpoint to write.
    options : FineTuneOptions
        Choices of the run.
    command : str
        The command line, for the card.
    overwrite : bool
        Whether ``out`` may be replaced.
    stop : callable
        Is asked at every step; once it says True the best weights so far are kept, scored and
        written, and no further training begins.

    Yields
    ------
    Event
        ``Progress``, ``Note``, ``Metric`` (``"loss"``; ``"training Dice"`` on windows of the
        cases; ``"validation Dice"`` on windows of the cases that a part of the cross-validation
        holds out), and last ``Result`` with a :class:`FineTuneReport`. Where a run has several
        processes, only the first gives a result.

    Raises
    ------
    HybridSegError
        With one sentence on what is wrong: :class:`FineTuneError` for what this job refuses.
    """
    options = options or FineTuneOptions()
    limit = None if options.minutes is None else options.minutes * 60
    clock = BusyClock(limit_s=limit)
    with cpu_threads(options.threads):
        events: Any = _events(source, checkpoint, out, options, clock, command, overwrite, stop)
        with closing(events):
            for event in events:
                clock.pause()
                yield event
                clock.resume()


def _events(
    source: Path,
    checkpoint: Path,
    out: Path,
    options: FineTuneOptions,
    clock: BusyClock,
    command: str,
    overwrite: bool,
    stop: StopAsked,
) -> Iterator[Event]:
    prepared: Prepared | None = None
    for item in prepare_job(Path(source), Path(checkpoint), Path(out), options, overwrite):
        if isinstance(item, Prepared):
            prepared = item
        else:
            yield item
    assert prepared is not None
    job = _FineTune(prepared, Path(out), options, clock, stop)
    yield from job.resume()
    yield from job.score_parent()
    yield from job.teach()
    yield from job.score_guard()
    yield from job.cross_validate()
    if job.fabric.is_global_zero:
        yield from job.finish(command, overwrite)


class _FineTune:
    """A job under way."""

    def __init__(
        self,
        prepared: Prepared,
        out: Path,
        options: FineTuneOptions,
        clock: BusyClock,
        stop: StopAsked,
    ) -> None:
        self._prepared, self._out, self._options = prepared, out, options
        self._clock, self._stop = clock, stop
        self._budget = Budget(clock)
        self._ledger = Ledger(out.with_suffix(".state"), prepared.fingerprint)
        self._augmentation = options.augmentation or card_augmentation(prepared.parent.card)
        self._scanner = choose_scanner(options, prepared.card.preprocessing.intensity)
        self._teacher: Teacher | None = None
        self._folds = 0
        self.fabric = Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy="ddp_find_unused_parameters_true" if options.devices > 1 else "auto",
            precision=options.precision,
        )
        if options.devices > 1:
            self.fabric.launch()
        seed_everything(options.seed, verbose=False)
        self._scorer = Scorer(
            card=prepared.card,
            merged=prepared.numbering.merged,
            options=SegmentOptions(device="cpu" if options.accelerator == "cpu" else "auto"),
            clock=clock,
        )

    def resume(self) -> Iterator[Event]:
        """Go on where an interrupted run of the same job was."""
        if self._ledger.load():
            self._clock.before_s = self._ledger.seconds
            yield Note("Going on with an interrupted fine-tune.")

    def score_parent(self) -> Iterator[Event]:
        """Measure the parent, and settle what is trained."""
        prepared, ledger, budget = self._prepared, self._ledger, self._budget
        network = prepared.parent.build_network()
        began = self._clock.seconds
        yield from self._score(
            network, prepared.to_score, "before", "Scoring the parent", budget.cases_until_s
        )
        ledger.cases_s += self._clock.seconds - began
        began = self._clock.seconds
        yield from self._score(
            network,
            prepared.guard,
            "guard_before",
            "Scoring the parent on the guard set",
            budget.guard_until_s,
        )
        ledger.guard_s += self._clock.seconds - began
        budget.cases_s, budget.guard_s = ledger.cases_s, ledger.guard_s
        before = mean_dice(ledger.before)
        strategy = choose_strategy(self._options, len(prepared.cases), before)
        turned = self._shared(self._is_turned(network))
        if turned:
            yield Note("The contrast of these cases is the other way round than the parent knows.")
        self._teacher = self._made_teacher(strategy, turned)
        if self._options.strategy == "auto":
            yield Note(_why(strategy, len(prepared.cases), before))
        yield from self._saved()

    def _is_turned(self, parent: nn.Module) -> bool:
        """Try the parent on windows of the cases and on their negatives."""
        cases, window = self._prepared.cases, self._prepared.window
        if not self._scanner.transfer and not self._scanner.negative:
            return False
        monitor = Monitor(cases, window, self._prepared.card.windows.slice_axis)
        network = parent.to(self.fabric.device)
        plain, negative = (monitor.dice(network, self.fabric.device, sign) for sign in (1.0, -1.0))
        return is_turned_round(plain, negative)

    def _made_teacher(self, strategy: Trained, turned: bool) -> Teacher:
        prepared = self._prepared
        recipe = Recipe(
            options=self._options,
            strategy=strategy,
            rate=self._options.learning_rate or LEARNING_RATES[strategy],
            pull=choose_pull(self._options),
            slice_axis=prepared.card.windows.slice_axis,
            constraints=prepared.constraints,
            in_channels=prepared.card.in_channels,
            classes=prepared.card.num_classes,
            channels_last=prepared.channels_last,
        )
        return Teacher(
            fabric=self.fabric,
            prepared=prepared,
            options=self._options,
            recipe=recipe,
            augmentation=self._augmentation,
            scanner=self._scanner,
            turned=turned,
            budget=self._budget,
            ledger=self._ledger,
            stop=self._stop,
            save=self._saved,
        )

    def teach(self) -> Iterator[Event]:
        """Train on all cases: this gives the weights."""
        if self._ledger.folds is None:
            wished = min(self._options.folds, len(self._prepared.cases))
            if len(self._prepared.cases) < FEWEST_TO_CROSS_VALIDATE or wished < 2:
                wished = 0
            self._ledger.folds = self._shared(self._budget.folds(wished))
            if self._ledger.folds and self._prepared.start_sha256:
                yield Note(_WITHOUT_STROKES)
            if wished and not self._ledger.folds:
                yield Note("There is no time to cross-validate: the cases are scored as learnt.")
        self._folds = self._ledger.folds
        if self._ledger.final:
            return
        lesson = Lesson(ALL_CASES, "Training", self._prepared.cases, left=1 + self._folds)
        taught = yield from self._teach(lesson)
        self._ledger.weights = taught.weights
        self._ledger.final = {"ending": taught.ending, "steps": taught.steps}
        yield from self._done_learning()

    def score_guard(self) -> Iterator[Event]:
        """Measure the new weights on the guard set."""
        if self._ledger.guard_before:
            yield from self._score(
                self._taught(),
                [item for item in self._prepared.guard if item.key in self._ledger.guard_before],
                "guard_after",
                "Scoring on the guard set",
                self._budget.end_s,
            )
            yield from self._saved()

    def cross_validate(self) -> Iterator[Event]:
        """Measure what the training is worth on cases that it did not see, where there are enough.

        Otherwise, and where it was cut short, the new weights are measured on their own cases.
        """
        ledger = self._ledger
        while ledger.folds_done < self._folds and ledger.final["ending"] != "stopped":
            if self._shared(self._stop()):
                break
            yield from self._fold(ledger.folds_done)
        if 0 < self._folds == ledger.folds_done:
            return
        if self._folds:
            yield Note("The cross-validation was stopped: the cases are scored as learnt.")
        self._folds = 0
        ledger.after = {}
        yield from self._score(
            self._taught(), self._scored_before(), "after", "Scoring the cases", self._budget.end_s
        )

    def finish(self, command: str, overwrite: bool) -> Iterator[Event]:
        """Write the checkpoint and give the report."""
        prepared, ledger = self._prepared, self._ledger
        assert self._teacher is not None
        recipe = self._teacher.recipe
        cases, guard = self._tables()
        judged = verdict(cases, guard, self._options.guard_tolerance)
        parent_sha256 = prepared.parent.sha256
        card = finished_card(
            prepared.card,
            prepared.parent.card,
            parent_sha256,
            prepared.start_sha256,
            recipe,
            self._augmentation,
            self._scanner,
            prepared.source,
            [case.case for case in prepared.cases],
            prepared.rehearsal,
            [case.case for case in prepared.rehearsed],
            (cases, guard),
            judged,
            ledger.final["steps"],
            self._clock.seconds / 60,
            command,
        )
        written = save_checkpoint(
            self._out, ledger.weights, card, half=self._options.half_weights, overwrite=overwrite
        )
        ledger.path.unlink(missing_ok=True)
        yield Result(
            FineTuneReport(
                path=self._out,
                sha256=written.sha256,
                name=card.name,
                parent=prepared.parent.path,
                parent_sha256=parent_sha256,
                strategy=recipe.strategy,
                steps=ledger.final["steps"],
                minutes=self._clock.seconds / 60,
                ending=ledger.final["ending"],
                cases=cases,
                guard=guard,
                recommended=judged[0],
                verdict=judged[1],
                left_out=prepared.left_out,
                added=tuple(organ.name for organ in prepared.numbering.merged.added),
            )
        )

    def _fold(self, fold: int) -> Iterator[Event]:
        cases = self._prepared.cases
        held = tuple(case for i, case in enumerate(cases) if i % self._folds == fold)
        lesson = Lesson(
            name=f"part {fold + 1}",
            stage=f"Training, part {fold + 1} of {self._folds}",
            cases=tuple(case for i, case in enumerate(cases) if i % self._folds != fold),
            held=held,
            number=fold + 1,
            left=self._folds - fold,
        )
        taught = yield from self._teach(lesson)
        if taught.ending == "stopped":  # a training that was cut short proves nothing
            return
        keys = {case.case.sha256 for case in held}
        yield from self._score(
            self._network(taught.weights),
            [item for item in self._scored_before() if item.key in keys],
            "after",
            f"Scoring, part {fold + 1} of {self._folds}",
            self._budget.end_s,
        )
        self._ledger.folds_done = fold + 1
        yield from self._done_learning()

    def _teach(self, lesson: Lesson) -> Generator[Event, None, Taught]:
        assert self._teacher is not None
        return (yield from self._teacher.train(lesson))

    def _done_learning(self) -> Iterator[Note]:
        self._ledger.learner, self._ledger.learner_of = {}, ""
        yield from self._saved()

    def _score(
        self,
        network: nn.Module,
        wanted: Iterable[ToScore],
        where: str,
        stage: str,
        until_s: float | None,
    ) -> Iterator[Event]:
        """Score in the first process, and let the others know."""
        scores: Scores = getattr(self._ledger, where)
        card = self._prepared.card if "after" in where else self._prepared.parent.card
        if self.fabric.is_global_zero:
            yield from self._scorer.score(network, card, list(wanted), stage, scores, until_s)
        setattr(self._ledger, where, self._shared(scores))

    def _tables(self) -> tuple[ScoreTable | None, ScoreTable | None]:
        prepared, ledger, count = self._prepared, self._ledger, len(self._prepared.cases)
        of = counted(count, "corrected case")
        if self._folds:
            words = f"{of}, cross-validated in {self._folds} parts"
            cases = table("cross-validated", words, prepared.to_score, ledger.before, ledger.after)
        else:
            words = f"{of}, measured on the training cases"
            cases = table("training cases", words, prepared.to_score, ledger.before, ledger.after)
        guard = table(
            "guard",
            f"{prepared.guard_name}, guard set",
            prepared.guard,
            ledger.guard_before,
            ledger.guard_after,
        )
        return cases, guard

    def _scored_before(self) -> list[ToScore]:
        return [item for item in self._prepared.to_score if item.key in self._ledger.before]

    def _taught(self) -> nn.Module:
        return self._network(self._ledger.weights)

    def _network(self, weights: dict[str, Tensor]) -> nn.Module:
        card = self._prepared.card
        return grown_network(weights, card, card)

    def _saved(self) -> Iterator[Note]:
        if not self.fabric.is_global_zero:
            return
        self._ledger.seconds = self._clock.seconds
        note = self._ledger.save()
        if note is not None:
            yield note

    def _shared(self, value: Any) -> Any:
        return shared(self.fabric, value)


def _why(strategy: str, cases: int, before: float | None) -> str:
    if strategy == "norms":
        teach = f"{counted(cases, 'case')} {'teaches' if cases == 1 else 'teach'}"
        return f"{teach} norms and biases only; more cases, or old ones rehearsed, would teach all."
    if cases > FEW_CASES or before is None or before >= HALF_RIGHT:
        return "All weights are taught."
    return f"All weights are taught, as the checkpoint is lost on these cases (Dice {before:.2f})."
