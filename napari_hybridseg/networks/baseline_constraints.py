"""The window sizes that the baselines can be given, worked out from their strides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_hybridseg.networks.baseline_configs import per_axis
from napari_hybridseg.networks.registry import Constraints
from napari_hybridseg.older_python import zip


@dataclass(frozen=True)
class FixedSize(Constraints):
    """The constraint of a network that takes windows of one size only, its ``minimum``."""

    def fit(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the one allowed size, also where ``size`` is larger."""
        return self.minimum


def strided(strides: Sequence[int | tuple[int, ...]], dims: int) -> Constraints:
    """Give the sizes that a U-shaped network of these strides can halve and double back.

    Parameters
    ----------
    strides : sequence of (int or tuple of int)
        From each level to the next, on all axes or per axis.
    dims : int
        2 or 3 axes.
    """
    # A norm over one voxel is undefined, so the coarsest grid needs a second one: asked of the
    # plane, where images are large, and not of Z.
    steps = [per_axis(step, dims) for step in strides]
    divisors = tuple(prod(step[axis] for step in steps) for axis in range(dims))
    voxels = (1,) * (dims - 2) + (2, 2)
    return Constraints(
        divisors, tuple(divisor * more for divisor, more in zip(divisors, voxels, strict=True))
    )


def halved(times: int, dims: int) -> Constraints:
    """Give the sizes that a network can halve this many times on every axis."""
    return strided((2,) * times, dims)
