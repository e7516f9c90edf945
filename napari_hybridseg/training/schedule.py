"""How the learning rate goes up and down."""

from __future__ import annotations

import math


def rate_factor(progress: float, warm_up: float) -> float:
    """Give the part of the peak rate at ``progress`` (0 to 1) of a run.

    It rises in a straight line over the first ``warm_up`` and falls along a half cosine to a
    thousandth.
    """
    if progress < warm_up:
        return max(progress / warm_up, 1e-3)
    fall = (min(progress, 1.0) - warm_up) / (1 - warm_up)
    return max(0.5 * (1 + math.cos(math.pi * fall)), 1e-3)
