"""What the generators of the views give back, and helpers that several of them share."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeAlias

from napari_hybridseg.events import Note, Progress
from napari_hybridseg.explain.cells import ONE, Cells
from napari_hybridseg.explain.products import Product, WindowBox
from napari_hybridseg.explain.rows import CanonicalRows
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.slabs import Reduce, Slab
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import zip


@dataclass(frozen=True)
class Findings:
    """What a view found."""

    products: tuple[Product, ...]
    window: WindowBox | None = None
    facts: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Run: TypeAlias = Generator[Union[Progress, Note], None, Findings]
Blended: TypeAlias = Iterator[Union[Progress, tuple[Slab, ...]]]

_ROWS_AT_ONCE = 16


def first_channel(values: Tensor) -> Tensor:
    """Give the only channel of (1, Y, X)."""
    return values[0]


def fill(
    session: Session,
    cells: Cells,
    blended: Blended,
    reduce: Reduce = first_channel,
    *,
    stride: Shape = ONE,
    linear: bool = True,
    dtype: np.dtype | type = np.float32,
) -> Generator[Progress, None, NDArray]:
    """Turn the first of the blended maps into a canonical array (Z, Y, X), zeros outside."""
    array = np.zeros(session.volume.geometry.shape, dtype=dtype)
    rows = CanonicalRows(
        session.prepared, cells.voxels, array, reduce, stride=stride, linear=linear
    )
    for item in blended:
        if isinstance(item, Progress):
            yield item
        else:
            rows.feed(item[0])
    return array


def paste(
    session: Session, cells: Cells, start: Shape, values: Tensor, *, stride: Shape, linear: bool
) -> NDArray[np.float32]:
    """Put one window's map (*cells of a window) into a canonical array, zeros elsewhere."""
    plan = cells.at(stride)
    first = tuple(s // c for s, c in zip(start, stride, strict=True))
    array = np.zeros(session.volume.geometry.shape, dtype=np.float32)
    rows = CanonicalRows(
        session.prepared, cells.voxels, array, first_channel, stride=stride, linear=linear
    )
    z, y, x = first
    depth, height, width = values.shape
    for begin in range(0, plan.padded[0], _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, plan.padded[0])
        slab = torch.zeros((1, end - begin, *plan.padded[1:]))
        low, high = max(begin, z), min(end, z + depth)
        if low < high:
            place = (0, slice(low - begin, high - begin), slice(y, y + height), slice(x, x + width))
            slab[place] = values[low - z : high - z].cpu()
        rows.feed(Slab(begin, slab))
    return array


def predicted(session: Session, cells: Cells, start: Shape, logits: Tensor) -> str:
    """Say in one sentence what the network takes the clicked voxel for."""
    z, y, x = session.voxel_in_window(cells.voxels, start)
    answer = logits[0, :, z, y, x].softmax(dim=0)
    channel = int(answer.argmax())
    name = organ_names(session)[channel]
    return f"The network takes the voxel for {name} ({float(answer[channel]):.0%})."


def organ_names(session: Session) -> tuple[str, ...]:
    """Name every output channel."""
    return ("background", *(organ.name for organ in session.card.labels.organs))


def run_through(blended: Blended) -> Generator[Progress, None, None]:
    """Run to the end, for what the windows' function collects on the way."""
    for item in blended:
        if isinstance(item, Progress):
            yield item
