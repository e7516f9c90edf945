"""Windows that begin on whole cells of a coarse map, and what the cells are worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.inference.windows import Shape, importance_map, plan_windows
from napari_hybridseg.older_python import zip

ONE: Shape = (1, 1, 1)

# bands of fewer lines, in voxels, cost more in handling than they save in memory
_THINNEST_BAND = 16


@dataclass(frozen=True)
class Windows:
    """Windows over a padded array, in voxels or in cells.

    Attributes
    ----------
    padded, before, window : tuple of int
        The array's shape (Z, Y, X), how much of it lies in front of the volume, a window's shape.
    along : tuple of tuple
        Where windows begin along Z, Y and X.
    """

    padded: Shape
    before: Shape
    window: Shape
    along: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.starts)

    @cached_property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Where windows begin along Z, together what runs side by side.

        The last window is moved back to end with the volume, so it shares much with the one
        before: side by side, what they share need not be kept for all of the volume.
        """
        z = self.along[0]
        return (*((start,) for start in z[:-2]), z[-2:])

    @cached_property
    def starts(self) -> tuple[Shape, ...]:
        """First voxel or cell of every window, in the order of a run: by layers, then along Y."""
        _, along_y, along_x = self.along
        return tuple(
            (z, y, x) for layer in self.layers for y, z, x in product(along_y, layer, along_x)
        )


@dataclass(frozen=True)
class Cells:
    """Windows in voxels, that can be told in cells of ``stride`` voxels.

    With a stride of 1 the windows are those of a segmentation. Otherwise the steps between them
    are rounded down to whole cells and the volume is padded at its end to a whole number of
    them, so that the cells of overlapping windows coincide: they can be averaged one by one, no
    value is interpolated, and a coarse map takes a coarse map's memory.
    """

    voxels: Windows
    stride: Shape

    def __post_init__(self) -> None:
        if any(n % s for n, s in zip(self.voxels.window, self.stride, strict=True)):
            raise ExplainError(
                f"Windows of {self.voxels.window} voxels are no whole number of cells of "
                f"{self.stride} voxels."
            )

    @classmethod
    def laid(cls, shape: Shape, window: Shape, overlap: float, stride: Shape = ONE) -> Cells:
        """Lay windows over an array of ``shape`` that begin on whole cells."""
        plan = plan_windows(shape, window, overlap)
        if stride == ONE:
            z, y, x = (tuple(sorted({start[axis] for start in plan.starts})) for axis in range(3))
        else:
            z, y, x = (
                _starts(length, size, overlap, cell)
                for length, size, cell in zip(plan.padded, window, stride, strict=True)
            )
        ends = (along[-1] + size for along, size in zip((z, y, x), window, strict=True))
        depth, height, width = ends
        return cls(Windows((depth, height, width), plan.before, window, (z, y, x)), stride)

    def at(self, stride: Shape) -> Windows:
        """Give the windows in cells of a stride that divides this one's."""
        plan = self.voxels
        z, y, x = (
            tuple(start // s for start in starts)
            for starts, s in zip(plan.along, stride, strict=True)
        )
        return Windows(
            _divided(plan.padded, stride),
            _divided(plan.before, stride),
            _divided(plan.window, stride),
            (z, y, x),
        )

    def cuts(self, stride: Shape) -> tuple[int, ...]:
        """Give the lines, in cells of ``stride``, where bands begin: there some windows do."""
        cuts = [0]
        for start in self.voxels.along[1]:
            if start - cuts[-1] >= _THINNEST_BAND:
                cuts.append(start)
        return tuple(cut // stride[1] for cut in cuts)

    def importance(self, stride: Shape, kind: str) -> Tensor:
        """Give the weight of each cell of a window: the mean weight of its voxels."""
        weights = torch.from_numpy(importance_map(self.voxels.window, kind))
        return functional.avg_pool3d(weights[None, None], stride)[0, 0]


def _divided(shape: Shape, stride: Shape) -> Shape:
    z, y, x = (n // s for n, s in zip(shape, stride, strict=True))
    return z, y, x


def _starts(length: int, size: int, overlap: float, cell: int) -> tuple[int, ...]:
    step = max(int(size * (1 - overlap)) // cell, 1) * cell
    last = -(-(length - size) // cell) * cell
    return (*range(0, last, step), last) if last > 0 else (0,)
