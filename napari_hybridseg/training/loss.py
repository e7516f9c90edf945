"""What training makes small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.base import network_heads
from napari_hybridseg.older_python import zip


class AllHeads(nn.Module):
    """A network whose ``forward`` gives every head, so that wrappers for many GPUs see them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.weights: tuple[float, ...] = getattr(network, "head_weights", (1.0,))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of every head."""
        return network_heads(self.network, image)


class HeadsLoss(nn.Module):
    """Dice plus cross entropy (both unweighted), summed over heads by their weights.

    A head on a coarser grid is compared with the labels picked nearest on that grid.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self._weights = tuple(weights)
        self._one = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def forward(self, heads: Sequence[Tensor], channels: Tensor) -> Tensor:
        """Give the loss of heads (N, K, ...) against channel indices (N, 1, ...)."""
        total = torch.zeros((), device=channels.device)
        for head, weight in zip(heads, self._weights, strict=True):
            target = channels
            if head.shape[2:] != channels.shape[2:]:
                target = functional.interpolate(
                    channels.float(), size=head.shape[2:], mode="nearest-exact"
                ).long()
            total = total + weight * self._one(head.float(), target)
        return total
