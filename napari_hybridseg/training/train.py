"""The training job: from labelled volumes to a checkpoint."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric, seed_everything
from torch import Tensor, nn

from napari_hybridseg.atomic import refuse_unwritable
from napari_hybridseg.checkpoint import (
    SUFFIX,
    Checkpoint,
    refuse_other_name,
    save_checkpoint,
)
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Metric, Note, Progress, Result
from napari_hybridseg.model_card import ModelCard, Preprocessing
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.training.augment import WindowSampler
from napari_hybridseg.training.average import WeightAverage
from napari_hybridseg.training.backbones import Backbone, find_backbones
from napari_hybridseg.training.card import training_card, with_minutes
from napari_hybridseg.training.dataset import (
    Dataset,
    LoadedCase,
    guess_intensity,
    load_cases,
    read_dataset,
)
from napari_hybridseg.training.evaluate import evaluate
from napari_hybridseg.training.log import append_to_log, start_log
from napari_hybridseg.training.loss import AllHeads, HeadsLoss
from napari_hybridseg.training.options import TrainOptions
from napari_hybridseg.training.schedule import rate_factor
from napari_hybridseg.training.state import load_state, save_state

_LARGEST_WINDOW = 96
_NOTES = 5  # of label maps; what is odd about one file alone would fill the screen
# what may change between the parts of an interrupted run: it does not touch the weights, or, as
# the time, is the user's to extend
_FREE_TO_CHANGE = {
    "name",
    "description",
    "licence",
    "attribution",
    "limitations",
    "intended_use",
    "overlap",
    "mirror_axes",
    "minutes",
    "half_weights",
    "save_every",
    "log_every",
    "backbone_weights",  # told apart by their content
}


class TrainingError(HybridSegError):
    """A training run that cannot go on."""


@dataclass
class _Run:
    """What changes while a network is trained."""

    fabric: Fabric
    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    loss: HeadsLoss
    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began


def train(
    dataset_path: Path,
    out: Path,
    options: TrainOptions,
    *,
    command: str = "",
    overwrite: bool = False,
) -> Iterator[Event]:
    """Train a network from scratch and write it as a checkpoint.

    Every ``save_every`` steps the run's state is kept beside ``out`` (``.state``): the same call
    after an interruption goes on there, and ends with the same weights. It is removed at the
    end. Every ``log_every`` steps their mean loss goes into a ``.csv`` beside it.

    Parameters
    ----------
    dataset_path : path
        A Decathlon-like ``dataset.json``; its ``train`` cases are learnt from, its ``heldout``
        cases are scored once, at the end, into the card.
    out : path
        The checkpoint to write.
    options : TrainOptions
        Choices of the run.
    command : str
        The command line, for the card.
    overwrite : bool
        Whether ``out`` may be replaced.

    Yields
    ------
    Event
        ``Progress``, ``Note``, ``Metric`` (``loss``), and last ``Result`` with the
        :class:`Checkpoint`. Where a run has several processes, only the first gives a result.

    Raises
    ------
    DatasetError, ArchitectureError, TrainingError, BackboneError, BackboneWeightsError,
    StateError, CheckpointError, WriteError
        With one sentence on what is wrong.
    """
    refuse_other_name(out)
    refuse_unwritable(out, overwrite)
    options = _settled(options)
    backbones = find_backbones(options.architecture, options.backbone_weights)
    dataset = read_dataset(dataset_path)
    chosen = dataset.train[: options.limit_cases]
    preprocessing = Preprocessing(
        orientation=options.orientation,
        spacing=options.spacing,
        intensity=options.intensity or guess_intensity(dataset, chosen),
    )
    cases = []
    for case in load_cases(chosen, dataset.scheme, preprocessing):
        cases.append(case)
        yield Progress("Reading cases", len(cases), len(chosen))
    for note, count in Counter(note for case in cases for note in case.notes).most_common(_NOTES):
        yield Note(f"Label maps of {counted(count, 'case')}: {note}")
    window, in_channels = _window(options, cases), cases[0].image.shape[0]
    sources = [backbone.source for backbone in backbones]
    card = training_card(options, dataset, preprocessing, window, in_channels, command, sources)
    run = _start(options, in_channels, card.num_classes, backbones)
    fingerprint = _fingerprint(options, dataset, window, backbones)
    state_path = out.with_suffix(".state")
    _resume(run, load_state(state_path, fingerprint))
    if run.step:
        yield Note(f"Going on after step {run.step} of an interrupted run.")
    if run.fabric.is_global_zero:
        start_log(out.with_suffix(".csv"), run.step)
    yield from _steps(run, cases, window, options, out, fingerprint)
    if run.fabric.is_global_zero:
        card = with_minutes(card, run.seconds / 60)
        yield from _finish(run, card, dataset, out, options, overwrite)
        state_path.unlink(missing_ok=True)


def _settled(options: TrainOptions) -> TrainOptions:
    """Check that there is such a network, and say how one for slices goes through a volume."""
    architecture = get_architecture(options.architecture)
    flat = architecture.dims_of(architecture.make_config(options.config)) == 2
    if not flat and options.slice_axis is not None:
        raise TrainingError(
            f"{options.architecture} sees volumes and no slices; leave out slice_axis."
        )
    if flat and options.slice_axis is None:
        return options.model_copy(update={"slice_axis": 0})
    return options


def _start(
    options: TrainOptions, in_channels: int, num_classes: int, backbones: Sequence[Backbone]
) -> _Run:
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        # some networks have weights that never touch the output
        strategy="ddp_find_unused_parameters_true" if options.devices > 1 else "auto",
        precision=options.precision,
    )
    if options.devices > 1:
        fabric.launch()
    seed_everything(options.seed, verbose=False)
    architecture = get_architecture(options.architecture)
    config = architecture.make_config(options.config)
    network = architecture.build(in_channels, num_classes, config)
    for backbone in backbones:
        backbone.load_into(network)
    if architecture.dims_of(config) == 3:
        # small 3D convolutions, depthwise ones above all, train twice as fast this way on a CPU
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    heads = AllHeads(network)
    optimizer = torch.optim.AdamW(
        _decayed_and_not(heads, options.weight_decay), lr=options.learning_rate
    )
    average = WeightAverage(network, options.ema_decay)
    wrapped, wrapped_optimizer = fabric.setup(heads, optimizer)
    average.state = {k: v.to(fabric.device) for k, v in average.state.items()}
    return _Run(fabric, wrapped, wrapped_optimizer, average, HeadsLoss(heads.weights))


def _steps(
    run: _Run,
    cases: Sequence[LoadedCase],
    window: tuple[int, int, int],
    options: TrainOptions,
    out: Path,
    fingerprint: str,
) -> Iterator[Event]:
    sampler = WindowSampler(cases, window, options.foreground, options.augmentation, options.seed)
    run.network.train()
    first = run.step
    progress = _progress(run, options)
    while progress < 1:
        rate = options.learning_rate * rate_factor(progress, options.warm_up)
        images, channels = _batch(run, sampler, options)
        run.losses.append(_step(run, images, channels, rate, options))
        run.step += 1
        progress = _progress(run, options)
        is_last, logged = progress >= 1, None
        if run.step % options.log_every == 0 or is_last:
            logged = _log(run, out, rate)
        # after the log: lines that a state knows nothing of are dropped when the run goes on
        if run.fabric.is_global_zero and (run.step % options.save_every == 0 or is_last):
            save_state(out.with_suffix(".state"), _state(run, fingerprint))
        if logged is not None:
            yield logged
        yield Progress("Training", run.step, options.steps, _seconds_left(run, options, first))


def _log(run: _Run, out: Path, rate: float) -> Metric | None:
    """Note the mean loss since the last line; only the first process has a log."""
    loss = float(np.mean(run.losses))
    run.losses.clear()
    if not run.fabric.is_global_zero:
        return None
    append_to_log(out.with_suffix(".csv"), run.step, run.seconds, loss, rate)
    return Metric("loss", loss, run.step)


def _batch(run: _Run, sampler: WindowSampler, options: TrainOptions) -> tuple[Tensor, Tensor]:
    rank = run.fabric.global_rank
    images, channels = sampler.batch(run.step, options.batch_size, rank)
    # dropout after an interruption is what it would have been without
    seed = np.random.SeedSequence((options.seed, run.step, rank)).generate_state(1)
    torch.manual_seed(int(seed[0]))
    if options.slice_axis is None:
        return images, channels
    return images.squeeze(options.slice_axis + 2), channels.squeeze(options.slice_axis + 2)


def _seconds_left(run: _Run, options: TrainOptions, first: int) -> float:
    left = (time.monotonic() - run.began) / (run.step - first) * (options.steps - run.step)
    if options.minutes is not None:
        left = min(left, options.minutes * 60 - run.seconds)
    return max(left, 0.0)


def _step(run: _Run, images: Tensor, channels: Tensor, rate: float, options: TrainOptions) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    device = run.fabric.device
    if images.ndim == 5:
        images = images.to(memory_format=torch.channels_last_3d)
    loss = run.loss(run.network(images.to(device)), channels.to(device))
    value = float(loss.detach())
    if not np.isfinite(value):
        raise TrainingError(
            f"Training failed at step {run.step}: the loss is no number; try a lower learning "
            "rate or look at the data."
        )
    run.optimizer.zero_grad(set_to_none=True)
    run.fabric.backward(loss)
    # half precision overflows now and then, and its scaler then skips the step
    run.fabric.clip_gradients(
        run.network, run.optimizer, max_norm=options.gradient_clip, error_if_nonfinite=False
    )
    run.optimizer.step()
    run.average.update(_plain(run.network), run.step)
    return value


def _finish(
    run: _Run,
    card: ModelCard,
    dataset: Dataset,
    out: Path,
    options: TrainOptions,
    overwrite: bool,
) -> Iterator[Event]:
    weights, half = run.average.state, options.half_weights
    if dataset.heldout:
        # what is scored is what will be shipped, rounding included; ``out`` appears when all is
        # done, so that an interrupted scoring can be taken up again
        draft = out.with_name(f".{out.stem}.draft{SUFFIX}")
        try:
            saved = save_checkpoint(draft, weights, card, half=half, overwrite=True)
            for event in evaluate(saved, dataset.heldout, f"{dataset.name}, held-out cases"):
                if isinstance(event, Result):
                    card = card.model_copy(update={"evaluation": (event.value,)})
                else:
                    yield event
        finally:
            draft.unlink(missing_ok=True)
    yield Result(save_checkpoint(out, weights, card, half=half, overwrite=overwrite))


def _window(options: TrainOptions, cases: Sequence[LoadedCase]) -> tuple[int, int, int]:
    """Choose a window that the network can take."""
    architecture = get_architecture(options.architecture)
    constraints = architecture.constraints(architecture.make_config(options.config))
    sizes = np.array([case.channels.shape for case in cases])
    wish = options.patch_size or np.minimum(np.median(sizes, axis=0), _LARGEST_WINDOW)
    size = [int(n) for n in wish]
    if len(constraints.divisors) == 3:
        return constraints.fit((size[0], size[1], size[2]))  # type: ignore[return-value]
    axis = options.slice_axis if options.slice_axis is not None else 0
    plane = iter(constraints.fit(tuple(n for i, n in enumerate(size) if i != axis)))
    return tuple(1 if i == axis else next(plane) for i in range(3))  # type: ignore[return-value]


def _decayed_and_not(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Leave scales and biases out of the weight decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _progress(run: _Run, options: TrainOptions) -> float:
    done = run.step / options.steps
    if options.minutes is None:
        return done
    spent = run.seconds / (options.minutes * 60)
    if run.fabric.world_size > 1:  # all processes stop at the same step: by one clock
        spent = run.fabric.broadcast(spent)
    return max(done, spent)


def _plain(wrapped: nn.Module) -> nn.Module:
    heads = wrapped.module
    assert isinstance(heads, AllHeads)
    return heads.network


def _state(run: _Run, fingerprint: str) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "step": run.step,
        "seconds": run.seconds,
        "losses": run.losses,
        "network": _plain(run.network).state_dict(),
        "average": run.average.state,
        "optimizer": run.optimizer.state_dict(),
    }


def _resume(run: _Run, state: dict[str, Any] | None) -> None:
    if state is None:
        return
    _plain(run.network).load_state_dict(state["network"])
    run.average.load(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.seconds_before, run.losses = state["step"], state["seconds"], state["losses"]


def _fingerprint(
    options: TrainOptions,
    dataset: Dataset,
    window: tuple[int, int, int],
    backbones: Sequence[Backbone],
) -> str:
    what = json.dumps(
        [
            options.model_dump(mode="json", exclude=_FREE_TO_CHANGE),
            window,
            dataset.sha256_of_train(options.limit_cases),
            [backbone.source.sha256 for backbone in backbones],
        ]
    )
    return hashlib.sha256(what.encode()).hexdigest()


__all__ = ["Checkpoint", "TrainingError", "train"]
