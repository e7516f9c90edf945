"""The sliding window for explanations: maps are blended as logits are, slab by slab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Keep, Seen, captured
from napari_hybridseg.explain.cells import ONE, Cells
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.slabs import Reduce, Slab, SlabMeans
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import zip

# what a window gives: for each layer (C, *cells of the window)
Extract = Callable[[Tensor, Seen], Sequence[Tensor]]


@dataclass(frozen=True)
class Layer:
    """One of the maps that are blended.

    Attributes
    ----------
    channels : int
    stride : tuple of int
        Voxels to a cell.
    reduce : callable or None
        Makes one value of the blended channels of a cell, (C, Y, X) to (Y, X).
    """

    channels: int
    stride: Shape = ONE
    reduce: Reduce | None = None


def stream(
    session: Session,
    cells: Cells,
    wishes: Mapping[str, Keep],
    layers: Sequence[Layer],
    extract: Extract,
    *,
    stage: str,
    gradients: bool = False,
) -> Iterator[Progress | tuple[Slab, ...]]:
    """Run the network window by window; give blended maps as soon as they are final.

    Parameters
    ----------
    session, cells
        What runs, and where.
    wishes : mapping
        What is captured; see ``captured``.
    layers : sequence of Layer
        The maps, whose strides divide that of ``cells``.
    extract : callable
        Gets the window's input (1, C, Z, Y, X) and what was captured; runs the network itself
        (``session.run``) and gives one tensor (C, *cells of a window) for each layer.
    stage : str
        For people.
    gradients : bool
        Whether ``extract`` needs them.

    Yields
    ------
    Progress or tuple of Slab
        One slab for each layer, in cells of its stride; all begin and end at the same voxel.
        Bands along Y come from the top, each with its rows in order.
    """
    plan = cells.voxels
    image = session.image(plan)
    accumulators = [
        SlabMeans(
            cells.at(layer.stride),
            cells.importance(layer.stride, session.importance_kind).to(session.device),
            layer.channels,
            layer.reduce,
            cells.stride[0] // layer.stride[0],
            cells.cuts(layer.stride),
        )
        for layer in layers
    ]
    plans = [cells.at(layer.stride) for layer in layers]
    began = time.monotonic()
    with ExitStack() as stack:
        seen = stack.enter_context(captured(session.network, wishes))
        yield Progress(stage, 0, len(plan))
        for done, start in enumerate(plan.starts):
            with torch.enable_grad() if gradients else torch.inference_mode():
                maps = extract(session.window(image, start, plan), seen)
            seen.clear()
            yield from zip(
                *(
                    accumulator.add(at.starts[done], one.detach())
                    for accumulator, at, one in zip(accumulators, plans, maps, strict=True)
                ),
                strict=True,
            )
            left = (time.monotonic() - began) / (done + 1) * (len(plan) - done - 1)
            yield Progress(stage, done + 1, len(plan), left)
        yield from zip(*(accumulator.finish() for accumulator in accumulators), strict=True)


def look(
    session: Session, cells: Cells, start: Shape, wishes: Mapping[str, Keep]
) -> tuple[Seen, Tensor]:
    """Run one window; give what was captured and the logits (1, K, Z, Y, X)."""
    plan = cells.voxels
    with captured(session.network, wishes) as seen, torch.inference_mode():
        logits = session.run(session.window(session.image(plan), start, plan))
    return seen, logits
