"""What a run will do, decided from sizes alone: its windows, their order, what is held.

Imports no torch, so that a face can say the cost while its user turns the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference.bricks import BrickWall, lightest_wall
from napari_hybridseg.inference.grids import Box
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.windows import Shape, window_grid
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip

_BYTES_PER_SUM = 4


@dataclass(frozen=True)
class RunPlan:
    """The windows of a run.

    Attributes
    ----------
    working : tuple of int
        The network's grid (Z, Y, X).
    begin, end : tuple of int
        The part of it that windows are laid over.
    wall : BrickWall
        The windows in their order, and the bricks.
    importance : str
        How a window's voxels are weighed.
    mirror_axes : tuple of int
        Axes along which mirrored copies are run.
    num_classes : int
        Output channels.
    windows_of_all : int
        How many windows the whole of the network's grid would take.
    """

    working: Shape
    begin: Shape
    end: Shape
    wall: BrickWall
    importance: Literal["gaussian", "constant"]
    mirror_axes: tuple[int, ...]
    num_classes: int
    windows_of_all: int

    @property
    def windows(self) -> int:
        """Count the windows."""
        return len(self.wall.grid)

    @property
    def passes(self) -> int:
        """Count the runs of the network per window, mirrored copies included."""
        return int(2 ** len(self.mirror_axes))

    @property
    def inside(self) -> Shape:
        """The shape of the part that windows are laid over."""
        z, y, x = (e - b for b, e in zip(self.begin, self.end, strict=True))
        return z, y, x

    @cached_property
    def sums_bytes(self) -> int:
        """The most memory that sums over windows take."""
        return self.wall.most_voxels() * self.num_classes * _BYTES_PER_SUM


def plan_run(
    working: Shape, card: ModelCard, options: SegmentOptions, body: tuple[Shape, Shape] | None
) -> RunPlan:
    """Plan the windows over the network's grid, or over the body in it if that saves any.

    Parameters
    ----------
    working : tuple of int
        Voxels (Z, Y, X) of the network's grid.
    card : ModelCard
        Its window size, and its choices where the options make none.
    options : SegmentOptions
        The user's choices.
    body : tuple, optional
        First and one past the last voxel of the body on the network's grid.
    """
    defaults = card.windows
    overlap = defaults.overlap if options.overlap is None else options.overlap
    begin, end = (0, 0, 0), working
    grid = whole = window_grid(working, defaults.size, overlap)
    if body is not None:
        low, high = _at_least_a_window(*body, working, defaults.size)
        shape: Shape = tuple(h - n for h, n in zip(high, low, strict=True))  # type: ignore[assignment]
        cropped = window_grid(shape, defaults.size, overlap)
        if len(cropped) < len(whole):
            begin, end, grid = low, high, cropped
    return RunPlan(
        working=working,
        begin=begin,
        end=end,
        wall=lightest_wall(grid, card.num_classes),
        importance=options.importance or defaults.importance,
        mirror_axes=tuple(defaults.mirror_axes) if options.tta else (),
        num_classes=card.num_classes,
        windows_of_all=len(whole),
    )


def looks_for_body(options: SegmentOptions, card: ModelCard, modality: str) -> bool:
    """Say whether only the body is looked at; ``auto`` does so in CT."""
    if options.body_crop == "auto":
        return is_ct(card.modality) and (not modality or is_ct(modality))
    return options.body_crop == "on"


def is_ct(modality: str) -> bool:
    """Say whether values of this modality are Hounsfield units."""
    return modality.strip().upper() == "CT"


def on_working_grid(body: Box, box: Box, own: Geometry, working: Geometry) -> tuple[Shape, Shape]:
    """Carry a box of the oriented volume over to the network's grid, which covers ``box`` of it."""
    low, high = [], []
    for part, covered, n, m in zip(body, box, own.shape, working.shape, strict=True):
        first = covered.start or 0
        low.append(min(max((part.start - first) * m // n, 0), m - 1))
        high.append(min(max(-(-(part.stop - first) * m // n), low[-1] + 1), m))
    return tuple(low), tuple(high)


def _at_least_a_window(
    low: Shape, high: Shape, working: Shape, window: Shape
) -> tuple[Shape, Shape]:
    """Grow a box to the size of a window, as far as the grid goes."""
    begin, end = [], []
    for first, last, n, w in zip(low, high, working, window, strict=True):
        missing = max(min(w, n) - (last - first), 0)
        start = min(max(first - missing // 2, 0), n - max(last - first, min(w, n)))
        begin.append(start)
        end.append(start + max(last - first, min(w, n)))
    return tuple(begin), tuple(end)  # type: ignore[return-value]
