"""TransFuse: what BiFusion and the gates let through, and what patches attend to.

Zhang et al., MICCAI 2021 (arXiv 2102.08005), section 2; attention rollout: Abnar and Zuidema,
ACL 2020 (arXiv 2005.00928). Slices are stitched to the volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Keep, Seen, as_is, summing_to_one
from napari_hybridseg.explain.cells import Cells
from napari_hybridseg.explain.findings import (
    Findings,
    Run,
    fill,
    paste,
    predicted,
    run_through,
)
from napari_hybridseg.explain.places import transformer_blocks
from napari_hybridseg.explain.products import Bars, Matrix
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, look, stream
from napari_hybridseg.networks.registry import get_architecture

_GATE = "gate, 0 shut to 1 open"


def spatial_attention(session: Session) -> Run:
    """Show where BiFusion lets the convolutions' features through."""
    name = f"{session.here.module}.spatial_attention"
    return (yield from _gate_map(session, name, session.title("spatial attention")))


def attention_gate(session: Session) -> Run:
    """Show where a gated skip connection lets features through."""
    return (yield from _gate_map(session, session.here.module, session.title()))


def channel_attention(session: Session) -> Run:
    """Show which of the transformer's channels BiFusion lets through."""
    name = f"{session.here.module}.channel_attention"
    cells = session.cells()
    title = session.title("channel attention")
    if session.options.point is not None:
        start = session.nearest_window(cells.voxels)
        yield Progress("Looking at the slice", 0, 1)
        seen, _ = look(session, cells, start, {name: as_is})
        values = seen[name].flatten().cpu().numpy()
        bars = Bars(values, _numbers(len(values)), title, "channel", _GATE)
        yield Progress("Looking at the slice", 1, 1)
        return Findings((bars,), session.box(cells.voxels, start))
    found: list[Tensor] = []

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        found.append(seen[name].flatten().cpu())
        return ()

    yield from run_through(
        stream(session, cells, {name: as_is}, [], extract, stage="Looking at the channels")
    )
    values, slices = _mean_by_slice(session, cells, torch.stack(found).numpy())
    columns = _numbers(values.shape[1])
    matrix = Matrix(
        values, slices, columns, title, "slice of the network", "channel", _GATE, limits=(0.0, 1.0)
    )
    bars = Bars(
        values.mean(axis=0), columns, f"{title}, mean of {len(slices)} slices", "channel", _GATE
    )
    return Findings((bars, matrix))


def attention_rollout(session: Session) -> Run:
    """Show the attention of all blocks, multiplied through."""
    config = get_architecture(session.card.architecture).make_config(session.card.config)
    names = [place.module for place in transformer_blocks(config.model_dump())]
    stride = session.stride3((16, 16))
    cells = session.cells(stride)
    shape = cells.at(stride).window
    wishes: dict[str, Keep] = {
        name: lambda output: summing_to_one(output, -1)[0].mean(dim=0) for name in names
    }
    title = session.title(f"attention rollout of {len(names)} blocks")
    smooth = session.options.smooth
    if session.options.point is not None:
        start = session.nearest_window(cells.voxels)
        yield Progress("Looking at the patch", 0, 1)
        seen, logits = look(session, cells, start, wishes)
        cell = session.cell_in_window(cells.voxels, start, stride)
        row = rollout([seen[name] for name in names])[int(np.ravel_multi_index(cell, shape))]
        array = paste(session, cells, start, row.reshape(shape), stride=stride, linear=smooth)
        yield Progress("Looking at the patch", 1, 1)
        return Findings(
            (session.heat_map(array, title, "share of what the patch draws on"),),
            session.box(cells.voxels, start),
            notes=(predicted(session, cells, start, logits),),
        )

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        given = rollout([seen[name] for name in names]).mean(dim=0)
        return (given.reshape(1, *shape).to(session.device),)

    blended = stream(
        session, cells, wishes, [Layer(1, stride)], extract, stage="Rolling the attention out"
    )
    array = yield from fill(session, cells, blended, stride=stride, linear=smooth)
    return Findings((session.heat_map(array, title, "share of what all patches draw on"),))


def patch_attention(session: Session) -> Run:
    """Show what the clicked voxel's patch attends to in one block."""
    place, head = session.here, session.head()
    stride = session.stride3(place.stride)
    cells = session.cells(stride)
    shape = cells.at(stride).window
    start = session.nearest_window(cells.voxels)
    cell = session.cell_in_window(cells.voxels, start, stride)
    patch = int(np.ravel_multi_index(cell, shape))

    def keep(output: Tensor) -> Tensor:
        row = summing_to_one(output[0, :, patch], -1)
        return row.mean(dim=0) if head is None else row[head]

    yield Progress("Looking at the patch", 0, 1)
    seen, logits = look(session, cells, start, {place.module: keep})
    row = seen[place.module].reshape(shape)
    array = paste(session, cells, start, row, stride=stride, linear=session.options.smooth)
    yield Progress("Looking at the patch", 1, 1)
    title = session.title(session.head_name(), "attention of one patch")
    return Findings(
        (session.heat_map(array, title, "share of the patch's attention"),),
        session.box(cells.voxels, start),
        notes=(predicted(session, cells, start, logits),),
    )


def rollout(attention: Sequence[Tensor]) -> Tensor:
    """Multiply the attention of all blocks through, half of each being the residual path.

    Parameters
    ----------
    attention : sequence of Tensor
        Of each block, first to last, averaged over heads: (tokens, tokens), rows sum to 1.

    Returns
    -------
    Tensor
        Shape (tokens, tokens): row i says what token i of the last block is made of.
    """
    total = torch.eye(len(attention[0]), dtype=torch.float64)
    for block in attention:
        total = (block.cpu().double() + torch.eye(len(block))) @ total / 2
    return summing_to_one(total, -1).float()


def _gate_map(session: Session, name: str, title: str) -> Run:
    stride = session.stride3(session.here.stride)
    cells = session.cells(stride)
    shape = cells.at(stride).window

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        return (seen[name].reshape(1, *shape),)

    blended = stream(
        session, cells, {name: as_is}, [Layer(1, stride)], extract, stage="Looking at the gates"
    )
    array = yield from fill(session, cells, blended, stride=stride, linear=session.options.smooth)
    heat = session.heat_map(array, title, _GATE, limits=(0.0, 1.0))
    return Findings((heat,))


def _mean_by_slice(
    session: Session, cells: Cells, values: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Average what was found in the windows of each slice, (slices, channels)."""
    axis = session.card.windows.slice_axis or 0
    where = np.array([start[axis] for start in cells.voxels.starts])
    slices = np.unique(where)
    means = np.stack([values[where == one].mean(axis=0) for one in slices])
    return means, tuple(str(one) for one in slices)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
