"""The exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps a slow copy of a network's state, which segments better than the last step's.

    Early steps count more, so that the average does not drag the initial weights along: the
    decay of step ``n`` is at most ``(1 + n) / (10 + n)``.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after ``step`` in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            held = self.state[key]
            if held.is_floating_point():
                held.lerp_(value.detach().to(held.dtype), 1 - decay)
            else:
                held.copy_(value)

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved average."""
        for key, value in state.items():
            self.state[key].copy_(value)
