"""What a fine-tune makes small, where labels may not speak of all organs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_hybridseg.training.loss import HeadsLoss


class PartialLoss(nn.Module):
    """The trainer's loss on labels that name a part of the organs.

    An organ that the labels do not speak of is hidden in their background: its probability is
    added to the background's, so that nothing is taught about it (marginal loss, Shi et al.,
    Medical Image Analysis 2021, equation 3).
    """

    def __init__(self, weights: Sequence[float], classes: int) -> None:
        super().__init__()
        self._loss = HeadsLoss(weights)
        self._classes = classes

    def forward(
        self, heads: Sequence[Tensor], channels: Tensor, unknown: Sequence[int] = ()
    ) -> Tensor:
        """Give the loss of heads (N, K, ...) against channel indices (N, 1, ...)."""
        if not unknown:
            result: Tensor = self._loss(heads, channels)
            return result
        known = [c for c in range(self._classes) if c not in set(unknown)]
        table = torch.zeros(self._classes, dtype=torch.long, device=channels.device)
        table[known] = torch.arange(len(known), device=channels.device)
        merged = [_merged(head, known, unknown) for head in heads]
        marginal: Tensor = self._loss(merged, table[channels])
        return marginal


def _merged(logits: Tensor, known: Sequence[int], unknown: Sequence[int]) -> Tensor:
    background = torch.logsumexp(logits[:, [0, *unknown]].float(), dim=1, keepdim=True)
    return torch.cat([background, logits[:, list(known[1:])].float()], dim=1)
