"""One training of a fine-tune: from the parent's weights to better ones, step by step."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_hybridseg.errors import is_out_of_memory
from napari_hybridseg.events import Event, Metric, Note, Progress
from napari_hybridseg.finetune.clock import BusyClock, StopAsked
from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.finetune.fitting import Fit, Recipe, smaller_fit
from napari_hybridseg.finetune.monitor import Monitor
from napari_hybridseg.finetune.objective import PartialLoss
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.report import Ending
from napari_hybridseg.finetune.sampler import MixedSampler, Shape, Windows
from napari_hybridseg.finetune.strategy import (
    ChannelGains,
    Pull,
    decoder_names,
    hold_batch_statistics,
    norms_are_bare,
)
from napari_hybridseg.training.average import WeightAverage
from napari_hybridseg.training.loss import AllHeads
from napari_hybridseg.training.schedule import rate_factor

_NOTHING_GAINED = 1e-3
_STEPS_OF_A_CHECK = 2.0  # what a check is taken to last before there was one


@dataclass
class Learner:
    """A network that is being taught, and what it takes to go on after an interruption."""

    fabric: Fabric
    network: nn.Module
    heads: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    loss: PartialLoss
    gains: ChannelGains | None
    pull: Pull
    fit: Fit
    step: int = 0
    seconds: float = 0.0
    best_dice: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    idle_checks: int = 0
    step_s: float = 0.0
    check_s: float | None = None
    shadow: nn.Module | None = None

    def state(self) -> dict[str, Any]:
        """Give everything that changes."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "window": list(self.fit.window),
            "at_once": self.fit.at_once,
            "best_dice": self.best_dice,
            "best": self.best,
            "idle_checks": self.idle_checks,
            "network": self.network.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "gains": self.gains.state() if self.gains is not None else [],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.average.load(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.gains is not None:
            self.gains.load(state["gains"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best_dice, self.best = state["best_dice"], state["best"]
        self.idle_checks = state["idle_checks"]
        z, y, x = state["window"]
        self.fit = Fit((z, y, x), state["at_once"])


def start_learner(fabric: Fabric, network: nn.Module, recipe: Recipe, window: Shape) -> Learner:
    """Make a learner of a network, which it then owns."""
    options = recipe.options
    torch.manual_seed(options.seed)
    network = network.to(fabric.device)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.train()
    hold_batch_statistics(network)
    gains = _choose_weights(network, recipe, _example(recipe, window, fabric.device))
    moved = [p for p in network.parameters() if p.requires_grad]
    pulled = moved
    if gains is not None:
        held = {id(weight) for weight in gains.weights}
        moved = [p for p in moved if id(p) not in held] + gains.parameters
        pulled = moved
    heads = AllHeads(network)
    optimizer = torch.optim.AdamW(moved, lr=recipe.rate, weight_decay=0.0)
    average = WeightAverage(network, options.ema_decay)
    pull = Pull(pulled, recipe.pull)
    wrapped, wrapped_optimizer = fabric.setup(heads, optimizer)
    return Learner(
        fabric=fabric,
        network=network,
        heads=wrapped,
        optimizer=wrapped_optimizer,
        average=average,
        loss=PartialLoss(heads.weights, recipe.classes),
        gains=gains,
        pull=pull,
        fit=Fit(window, options.batch_size),
    )


def learn(
    learner: Learner,
    recipe: Recipe,
    sampler: MixedSampler,
    monitors: Mapping[str, Monitor],
    stage: str,
    first_step: int,
    clock: BusyClock,
    limit_s: float | None,
    stop: StopAsked,
) -> Generator[Event, None, Ending]:
    """Teach a network; the average weights with the best first monitor are kept.

    Parameters
    ----------
    monitors : mapping
        Name to monitor. Only the first chooses the best weights; the others are told of.
    stage : str
        For ``Progress``.
    first_step : int
        Where the steps of ``Metric`` begin, so that a job's trainings follow each other.
    clock, limit_s
        The job's clock, and the seconds for this training, those before an interruption
        included.

    Yields
    ------
    Event
        ``Progress``, ``Note`` and ``Metric``; after every check the state is worth saving, which
        a ``Metric`` named ``"loss"`` tells.

    Returns
    -------
    Ending
        Why it ended.
    """
    options = recipe.options
    began, before, first = clock.seconds, learner.seconds, learner.step
    sampler.resize(learner.fit.window)
    losses: list[float] = []
    ending: Ending | None = None
    if learner.step:  # it may have been killed just after its last step
        ending = _ending(learner, options, _progress(learner, options, limit_s), False)
    while ending is None:
        progress = _shared(learner, _progress(learner, options, limit_s))
        rate = recipe.rate * rate_factor(progress, options.warm_up)
        yield from _notes_of_step(learner, recipe, sampler, rate, losses)
        learner.step += 1
        learner.step_s = before + clock.seconds - began - learner.seconds
        learner.seconds += learner.step_s
        progress = _shared(learner, _progress(learner, options, limit_s))
        if _shared(learner, _is_late(learner, limit_s)):
            progress = 1.0
        ending = _ending(learner, options, progress, _shared(learner, stop()))
        if learner.step % options.check_every == 0 or ending is not None:
            checked = clock.seconds
            yield from _check(learner, monitors, first_step, losses)
            learner.check_s = clock.seconds - checked
            learner.seconds += learner.check_s
            losses.clear()
            idle = 0 < options.patience <= learner.idle_checks
            if ending is None and _shared(learner, idle):
                ending = "early stop"
        left = (learner.seconds - before) / (learner.step - first) * (options.steps - learner.step)
        if limit_s is not None:
            left = min(left, limit_s - learner.seconds)
        yield Progress(stage, learner.step, options.steps, max(left, 0.0))
    return ending


def _notes_of_step(
    learner: Learner, recipe: Recipe, sampler: MixedSampler, rate: float, losses: list[float]
) -> Iterator[Note]:
    """Make one step; where the memory is too small, make it smaller and say so."""
    while True:
        try:
            losses.append(_step(learner, recipe, sampler, rate))
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or learner.fabric.world_size > 1:
                raise
        learner.optimizer.zero_grad(set_to_none=True)
        if learner.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        learner.fit, sentence = smaller_fit(learner.fit, recipe)
        sampler.resize(learner.fit.window)
        yield Note(sentence)


def _step(learner: Learner, recipe: Recipe, sampler: MixedSampler, rate: float) -> float:
    options, fabric = recipe.options, learner.fabric
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    seed = np.random.SeedSequence((options.seed, learner.step, fabric.global_rank))
    torch.manual_seed(int(seed.generate_state(1)[0]))
    learner.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    at_once = min(learner.fit.at_once, options.batch_size)
    parts = [min(at_once, options.batch_size - n) for n in range(0, options.batch_size, at_once)]
    for number, size in enumerate(parts):
        windows = sampler.batch(learner.step, number, size, fabric.global_rank)
        loss = _loss(learner, windows, recipe) * (size / options.batch_size)
        total += float(loss.detach())
        fabric.backward(loss)
    if not np.isfinite(total):
        raise FineTuneError(
            f"The fine-tune failed at step {learner.step}: the loss is no number; try a lower "
            "learning rate or look at the cases."
        )
    if learner.gains is not None:
        learner.gains.collect()
    fabric.clip_gradients(
        learner.heads, learner.optimizer, max_norm=options.gradient_clip, error_if_nonfinite=False
    )
    learner.optimizer.step()
    learner.pull.apply(rate)
    if learner.gains is not None:
        learner.gains.fold()
    learner.average.update(learner.network, learner.step)
    return total


def _loss(learner: Learner, groups: list[Windows], recipe: Recipe) -> Tensor:
    axis, device = recipe.slice_axis, learner.fabric.device
    images = torch.cat([group.images for group in groups])
    images = images.squeeze(axis + 2) if axis is not None else images
    if recipe.channels_last:
        images = images.to(memory_format=torch.channels_last_3d)
    heads = learner.heads(images.to(device))
    total = torch.zeros((), device=device)
    begin = 0
    for group in groups:
        count = len(group.images)
        channels = group.channels.squeeze(axis + 2) if axis is not None else group.channels
        part = [head[begin : begin + count] for head in heads]
        total = total + learner.loss(part, channels.to(device), group.unknown) * count
        begin += count
    return total / begin


def _check(
    learner: Learner, monitors: Mapping[str, Monitor], first_step: int, losses: list[float]
) -> Iterator[Metric]:
    if not learner.fabric.is_global_zero:
        return
    if learner.shadow is None:
        learner.shadow = copy.deepcopy(learner.network)
    learner.shadow.load_state_dict(learner.average.state)
    step = first_step + learner.step
    values = {n: m.dice(learner.shadow, learner.fabric.device) for n, m in monitors.items()}
    deciding = next(iter(values.values()), None)
    if deciding is None or deciding >= learner.best_dice:
        kept = {key: value.clone() for key, value in learner.average.state.items()}
        learner.best = kept
    gained = deciding is not None and deciding > learner.best_dice + _NOTHING_GAINED
    learner.idle_checks = 0 if gained else learner.idle_checks + 1
    learner.best_dice = max(learner.best_dice, deciding or 0.0)
    for name, value in values.items():
        if value is not None:
            yield Metric(name, value, step)
    if losses:
        yield Metric("loss", float(np.mean(losses)), step)


def _choose_weights(network: nn.Module, recipe: Recipe, example: Tensor) -> ChannelGains | None:
    if recipe.strategy == "full":
        return None
    if recipe.strategy == "decoder":
        chosen = decoder_names(network, example)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in chosen)
        return None
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.ndim <= 1)
    if not norms_are_bare(network):
        return None
    gains = ChannelGains(network)
    for weight in gains.weights:
        weight.requires_grad_(True)
    return gains


def _example(recipe: Recipe, window: Shape, device: torch.device) -> Tensor:
    shape = [n for axis, n in enumerate(window) if axis != recipe.slice_axis]
    return torch.zeros((1, recipe.in_channels, *shape), device=device)


def _progress(learner: Learner, options: FineTuneOptions, limit_s: float | None) -> float:
    done = learner.step / options.steps
    return done if limit_s is None else max(done, learner.seconds / max(limit_s, 1e-3))


def _is_late(learner: Learner, limit_s: float | None) -> bool:
    """Say whether the time would be over before another step and a check were done."""
    if limit_s is None:
        return False
    check_s = _STEPS_OF_A_CHECK * learner.step_s if learner.check_s is None else learner.check_s
    return learner.seconds + learner.step_s + check_s > limit_s


def _ending(
    learner: Learner, options: FineTuneOptions, progress: float, stopped: bool
) -> Ending | None:
    if stopped:
        return "stopped"
    if progress < 1:
        return None
    return "all steps" if learner.step >= options.steps else "time"


def _shared(learner: Learner, value: Any) -> Any:
    """Give all processes of a run the first one's value."""
    return value if learner.fabric.world_size == 1 else learner.fabric.broadcast(value)
