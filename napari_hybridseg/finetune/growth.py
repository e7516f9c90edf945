"""New output channels for organs that the parent does not know."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.older_python import zip

# a new organ begins at a fiftieth of the background's probability
_BEHIND_BACKGROUND = 4.0


def grown_network(weights: Mapping[str, Tensor], parent: ModelCard, card: ModelCard) -> nn.Module:
    """Build the network of ``card`` with the parent's weights, in evaluation mode.

    Logits of the parent's channels are the same, number for number. To the parent a new organ is
    background, so its channel begins as a copy of the background's, held back by its bias: at
    first it never wins.

    Parameters
    ----------
    weights : mapping
        The parent's state dict.
    parent, card : ModelCard
        The parent's card, and the one with organs added at the end of its labels.

    Raises
    ------
    FineTuneError
        If the parts of the network that give the classes cannot be told from the others.
    """
    architecture = get_architecture(card.architecture)
    config = architecture.make_config(card.config)
    network = architecture.build(card.in_channels, card.num_classes, config)
    old, new = parent.num_classes, card.num_classes
    own = network.state_dict()
    state = {}
    for key, value in own.items():
        if key not in weights:
            raise FineTuneError(
                f"{card.architecture} has other layers with {new} classes than with {old}; "
                "organs cannot be added to it, so train a new checkpoint."
            )
        state[key] = _grown(key, weights[key], value.shape, old, new)
    network.load_state_dict(state)
    return network.eval()


def _grown(key: str, value: Tensor, shape: torch.Size, old: int, new: int) -> Tensor:
    if value.shape == shape:
        return value
    differing = [i for i, (a, b) in enumerate(zip(value.shape, shape, strict=False)) if a != b]
    axis = differing[0] if differing else 0
    grows = value.ndim == len(shape) and len(differing) == 1
    if not grows or (value.shape[axis], shape[axis]) != (old, new):
        raise FineTuneError(
            f"The layer {key} does not grow with the number of classes in a way that is known "
            "here; organs cannot be added to this checkpoint, so train a new one."
        )
    background = value.narrow(axis, 0, 1)
    fresh = torch.cat([background] * (new - old), dim=axis)
    if value.ndim == 1:
        fresh = fresh - _BEHIND_BACKGROUND
    return torch.cat([value, fresh], dim=axis)
