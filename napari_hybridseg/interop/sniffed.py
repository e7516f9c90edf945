"""What can be told of a network from the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Sniffed:
    """A network that a table of weights is of, as far as it shows.

    Attributes
    ----------
    architecture : str
        Our name of it.
    config : dict
        The settings that the weights show.
    in_channels, num_classes : int
        Channels of the image and of the output.
    """

    architecture: str
    config: dict[str, Any]
    in_channels: int
    num_classes: int


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the different numbers that follow ``prefix`` in the names.

    Parameters
    ----------
    state : mapping
        The weights.
    prefix : str
        As in ``"stages.0."``.
    """
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({found[1] for key in state if (found := pattern.match(key))})


def kernel(weight: Tensor) -> tuple[int, ...]:
    """Give the kernel of a convolution's weight, shape (out, in, ...)."""
    return tuple(weight.shape[2:])
