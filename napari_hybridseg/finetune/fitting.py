"""What all trainings of a job have in common, and how they are fitted into the memory."""

from __future__ import annotations

from dataclasses import dataclass

from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.sampler import Shape
from napari_hybridseg.finetune.strategy import Trained
from napari_hybridseg.networks.registry import Constraints
from napari_hybridseg.older_python import zip


@dataclass(frozen=True)
class Recipe:
    """What stays the same in all trainings of a job."""

    options: FineTuneOptions
    strategy: Trained
    rate: float
    pull: float
    slice_axis: int | None
    constraints: Constraints
    in_channels: int
    classes: int
    channels_last: bool


@dataclass
class Fit:
    """How a batch is brought through the memory: windows of a size, so many at once."""

    window: Shape
    at_once: int


def smaller_fit(fit: Fit, recipe: Recipe) -> tuple[Fit, str]:
    """Take less memory: fewer windows at once, then smaller ones; say what.

    Raises
    ------
    FineTuneError
        If the windows cannot be smaller.
    """
    if fit.at_once > 1:
        fewer = fit.at_once // 2
        return Fit(fit.window, fewer), (
            f"The memory is too small for {fit.at_once} windows at once; going on with "
            f"{fewer} at a time, gradients added up."
        )
    window = smaller_window(fit.window, recipe)
    if window == fit.window:
        raise FineTuneError(
            f"The memory is too small for one window of {_sizes(fit.window)} voxels, the smallest "
            "that the network takes; close other programs or choose another device."
        )
    return Fit(window, 1), (
        f"The memory is too small for windows of {_sizes(fit.window)} voxels; going on with "
        f"{_sizes(window)}."
    )


def smaller_window(window: Shape, recipe: Recipe) -> Shape:
    """Halve the longest axis that can be halved, as the network allows."""
    axes = [axis for axis in range(3) if axis != recipe.slice_axis]
    for axis in sorted(axes, key=lambda a: -window[a]):
        half = [window[a] // 2 if a == axis else window[a] for a in axes]
        fitted = recipe.constraints.fit(tuple(half))
        size = dict(zip(axes, fitted, strict=True))
        if size[axis] < window[axis]:
            z, y, x = (size.get(a, 1) for a in range(3))
            return z, y, x
    return window


def _sizes(window: Shape) -> str:
    return "x".join(map(str, window))
