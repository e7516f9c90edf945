"""Which weights a fine-tune moves, and what holds them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.networks.ensemble import Ensemble
from napari_hybridseg.older_python import zip

Trained = Literal["full", "decoder", "norms"]

LEARNING_RATES: dict[Trained, float] = {"full": 1e-3, "decoder": 1e-3, "norms": 1e-2}
PULL_ALONE = 2.0
PULL_WITH_REHEARSAL = 0.0
FEW_CASES = 3
HALF_RIGHT = 0.5

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BARE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def choose_strategy(options: FineTuneOptions, cases: int, dice_before: float | None) -> Trained:
    """Say what is trained.

    Few cases alone cannot teach many weights, unless the checkpoint is lost on them: then moving
    the norms is not enough. Rehearsed cases, which are made to look like them, can.
    """
    if options.strategy != "auto":
        return options.strategy
    lost = dice_before is not None and dice_before < HALF_RIGHT
    alone = options.rehearse is None
    return "norms" if cases <= FEW_CASES and alone and not lost else "full"


def choose_pull(options: FineTuneOptions) -> float:
    """Say how strongly weights are drawn back to the parent's."""
    if options.pull is not None:
        return options.pull
    return PULL_ALONE if options.rehearse is None else PULL_WITH_REHEARSAL


def decoder_names(network: nn.Module, example: Tensor) -> set[str]:
    """Name the parameters that are used after the coarsest features, head included.

    Decoders are not marked as such, and every family names them differently; but in all of them
    the features are coarsest where it begins. So one window is sent through, and what runs after
    the last of the layers with the coarsest output is the decoder. A network that never
    becomes finer again has all of its parameters named. In an ensemble every member has its own.
    """
    if isinstance(network, Ensemble):
        return {
            f"members.{number}.{name}"
            for number, member in enumerate(network.members)
            for name in decoder_names(member, example)
        }
    names = {id(module): name for name, module in network.named_modules()}
    order: list[tuple[str, int]] = []

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == example.ndim:
            order.append((names[id(module)], output[0, 0].numel()))

    layers = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    was_training = network.training
    try:
        network.eval()
        with torch.no_grad():
            network(example)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    every = {name for name, _ in network.named_parameters()}
    if not order:
        return every
    coarsest = min(size for _, size in order)
    last = max(i for i, (_, size) in enumerate(order) if size == coarsest)
    before = {name for name, _ in order[: last + 1]}
    after = {name for name, _ in order[last + 1 :]} - before
    chosen = {name for name in every if name.rpartition(".")[0] in after}
    return chosen or every


class ChannelGains:
    """A factor for every input channel of the convolutions, in place of a norm's own scale.

    An instance norm without parameters leaves nothing to tune; scaling what the next convolution
    makes of each channel is the same freedom (for a positive scale, every activation that is
    used here lets it through). The factors are folded into the weights at every step, so the
    network stays what its card says.
    """

    def __init__(self, network: nn.Module) -> None:
        self._held: list[tuple[Tensor, Tensor, nn.Parameter]] = []
        for module in network.modules():
            if not isinstance(module, (*_TRANSPOSED, *_CONVOLUTIONS)):
                continue
            transposed = isinstance(module, _TRANSPOSED)
            weight, axis = module.weight, 0 if transposed else 1
            if module.groups > 1 or weight.shape[axis] == 1:
                continue
            shape = [n if i == axis else 1 for i, n in enumerate(weight.shape)]
            gain = nn.Parameter(torch.ones(shape, device=weight.device))
            self._held.append((weight, weight.detach().clone(), gain))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The factors."""
        return [gain for _, _, gain in self._held]

    @property
    def weights(self) -> list[Tensor]:
        """The convolutions' weights that they stand for."""
        return [weight for weight, _, _ in self._held]

    @torch.no_grad()
    def collect(self) -> None:
        """Turn the gradients of the weights into those of the factors."""
        for weight, start, gain in self._held:
            if weight.grad is not None:
                others = [i for i, n in enumerate(gain.shape) if n == 1]
                gain.grad = (weight.grad * start).sum(others, keepdim=True)
                weight.grad = None

    @torch.no_grad()
    def fold(self) -> None:
        """Bring the factors into the weights."""
        for weight, start, gain in self._held:
            weight.copy_(start * gain)

    def state(self) -> list[Tensor]:
        """Give the factors, to be saved."""
        return [gain.detach() for gain in self.parameters]

    @torch.no_grad()
    def load(self, state: Sequence[Tensor]) -> None:
        """Go on from saved factors."""
        for gain, saved in zip(self.parameters, state, strict=True):
            gain.copy_(saved)


def norms_are_bare(network: nn.Module) -> bool:
    """Tell whether the network has instance norms without parameters."""
    return any(isinstance(m, _BARE) and m.weight is None for m in network.modules())


def hold_batch_statistics(network: nn.Module) -> None:
    """Keep the running statistics of batch norms: two windows are no sample of the world."""
    for module in network.modules():
        if isinstance(module, _BATCH_NORMS):
            module.eval()


class Pull:
    """Draws weights back to where they began, apart from the gradient (L2-SP, decoupled).

    Source: Li et al., "Explicit Inductive Bias for Transfer Learning", ICML 2018 (L2-SP);
    decoupled from Adam's scaling as in Loshchilov and Hutter, ICLR 2019.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float) -> None:
        self._strength = strength
        self._held = [(p, p.detach().clone()) for p in parameters] if strength else []

    @torch.no_grad()
    def apply(self, rate: float) -> None:
        """Go a part of the way back."""
        for parameter, start in self._held:
            parameter.lerp_(start, min(1.0, rate * self._strength))
