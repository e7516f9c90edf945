"""Deformable attention: where a voxel's token samples, and where an organ's tokens do.

Xie et al., MICCAI 2021 (arXiv 2103.03024), section 2.2. A sampling location is a fraction
(x, y, z) of the window, whatever the network's axis order (see ``networks.deformable``), so
points are drawn where values were truly read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Keep, Seen, summing_to_one
from napari_hybridseg.explain.cells import Cells
from napari_hybridseg.explain.findings import Findings, Run, fill, predicted
from napari_hybridseg.explain.places import deformable_strides
from napari_hybridseg.explain.products import SamplingPoints
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, look, stream
from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import zip


def sampling_points(session: Session) -> Run:
    """Show where the clicked voxel's token samples: all heads, levels and points."""
    place, level = session.here, session.options.level
    if level >= place.levels:
        raise ExplainError(
            f"{session.card.architecture} has {place.levels} levels, numbered 0 to "
            f"{place.levels - 1}; there is no level {level}."
        )
    cells = session.cells()
    plan = cells.voxels
    start = session.nearest_window(plan)
    shapes = _shapes(plan.window)
    stride = deformable_strides()[level]
    cell = session.cell_in_window(plan, start, stride)
    query = sum(map(prod, shapes[:level])) + int(np.ravel_multi_index(cell, shapes[level]))
    places, weights = f"{place.module}.sampling_locations", f"{place.module}.attention_weights"
    yield Progress("Looking at the voxel", 0, 1)
    seen, logits = look(
        session,
        cells,
        start,
        {
            places: lambda output: output[0, query],
            weights: lambda output: summing_to_one(output[0, query], -1),
        },
    )
    fractions = seen[places].cpu().double().numpy().reshape(-1, 3)
    window_voxels = fractions[:, ::-1] * np.asarray(plan.window) - 0.5
    points_mm = session.to_mm(plan, start, window_voxels)
    head, each, point = np.indices((place.heads, place.levels, place.points)).reshape(3, -1)
    centre = np.asarray(cell) * stride + (np.asarray(stride) - 1) / 2
    result = SamplingPoints(
        geometry=session.volume.geometry,
        source=session.volume.source,
        query_mm=session.to_mm(plan, start, centre),
        points_mm=points_mm,
        points_voxel=session.volume.geometry.index(points_mm),
        weights=seen[weights].float().cpu().numpy().reshape(-1),
        head=head,
        level=each,
        point=point,
        inside=_inside(fractions, each, shapes),
        title=session.title(f"sampling points of a token of level {level}"),
    )
    yield Progress("Looking at the voxel", 1, 1)
    return Findings(
        (result,),
        session.box(plan, start),
        facts=_reach(result),
        notes=(predicted(session, cells, start, logits), *_axis_note(session)),
    )


def influence(session: Session) -> Run:
    """Show where the tokens of all voxels of an organ sample, as weights in the volume."""
    place, head = session.here, session.head()
    channel, organ = session.organ()
    fine, coarse = deformable_strides()
    cells = session.cells(coarse)
    places, weights = f"{place.module}.sampling_locations", f"{place.module}.attention_weights"
    wishes: dict[str, Keep] = {
        places: lambda output: _heads(output[0], head),
        weights: lambda output: _heads(summing_to_one(output, -1)[0], head),
    }
    shapes = _shapes(cells.voxels.window)
    in_organ = 0

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        nonlocal in_organ
        answer = (session.run(window).argmax(dim=1) == channel).float()[:, None]
        in_organ += int(answer.sum())
        queries = torch.cat(
            [
                functional.avg_pool3d(answer, stride).flatten() * prod(stride)
                for stride in (fine, coarse)
            ]
        )
        share = seen[weights].unflatten(-1, (place.levels, place.points))
        return (_spread(seen[places], share, queries, shapes, _ratio(fine, coarse)),)

    blended = stream(
        session, cells, wishes, [Layer(1, fine)], extract, stage=f"Following the {organ.name}"
    )
    array = yield from fill(session, cells, blended, stride=fine, linear=session.options.smooth)
    if in_organ == 0:
        raise ExplainError(
            f"The network finds no {organ.name} in {session.volume.name}, so nothing follows it; "
            "choose another organ."
        )
    total = array.sum(dtype=np.float64)
    if total > 0:
        array /= total
    title = session.title(session.head_name(), f"where the tokens of {organ.name} sample")
    return Findings(
        (session.heat_map(array, title, "share of the organ's reading, per voxel"),),
        notes=_axis_note(session),
    )


def splat(locations: Tensor, weights: Tensor, shape: Shape) -> Tensor:
    """Add weights up on the cells that trilinear sampling reads.

    Parameters
    ----------
    locations : Tensor
        Shape (..., 3), fractions (x, y, z).
    weights : Tensor
        Shape (...).
    shape : tuple of int
        Cells (Z, Y, X). What falls outside is lost, as sampling reads zeros there.

    Returns
    -------
    Tensor
        Shape ``shape``, float64, on the CPU.
    """
    locations, weights = locations.cpu(), weights.cpu()
    total = torch.zeros(prod(shape), dtype=torch.float64)
    place = locations.double().flip(-1) * torch.tensor(shape) - 0.5
    low = place.floor()
    for corner in product((0, 1), repeat=3):
        cell = low + torch.tensor(corner)
        share = (1 - (place - cell).abs()).prod(dim=-1) * weights
        inside = ((cell >= 0) & (cell < torch.tensor(shape))).all(dim=-1)
        z, y, x = cell[inside].long().unbind(-1)
        total.index_add_(0, (z * shape[1] + y) * shape[2] + x, share[inside].double())
    return total.reshape(shape)


def _spread(
    locations: Tensor, share: Tensor, queries: Tensor, shapes: Sequence[Shape], ratio: Shape
) -> Tensor:
    """Splat every level, and bring the coarse cells' content to the fine cells, (1, *fine)."""
    asked = queries > 0
    heads = share.shape[1]
    weighted = share[asked] * (queries[asked] / heads)[:, None, None, None]
    fine, coarse = (
        splat(locations[asked][:, :, level], weighted[:, :, level], shape)
        for level, shape in enumerate(shapes)
    )
    for axis, times in enumerate(ratio):
        coarse = coarse.repeat_interleave(times, dim=axis)
    return (fine + coarse / prod(ratio)).float()[None].to(locations.device)


def _heads(output: Tensor, head: int | None) -> Tensor:
    return output if head is None else output[:, head : head + 1]


def _ratio(fine: Shape, coarse: Shape) -> Shape:
    z, y, x = (c // f for c, f in zip(coarse, fine, strict=True))
    return z, y, x


def _shapes(window: Shape) -> tuple[Shape, ...]:
    plan = Cells.laid(window, window, 0.0)
    return tuple(plan.at(stride).window for stride in deformable_strides())


def _inside(fractions: np.ndarray, level: np.ndarray, shapes: Sequence[Shape]) -> np.ndarray:
    """Say which points read at least a part of a value: less than a cell outside of the centres."""
    sizes = np.asarray(shapes)[level][:, ::-1]
    cell = fractions * sizes - 0.5
    return ((cell > -1) & (cell < sizes)).all(axis=1)


def _reach(points: SamplingPoints) -> dict[str, float]:
    away = np.linalg.norm(points.vectors_mm, axis=1)
    share = points.weights / points.weights.sum()
    return {
        "mean distance of a sample, mm": float((away * share).sum()),
        "farthest sample, mm": float(away.max()),
        "weight outside the window": float(share[~points.inside].sum()),
    }


def _axis_note(session: Session) -> tuple[str, ...]:
    if session.card.config.get("axis_order") != "legacy":
        return ()
    return (
        "This network has the authors' legacy axis order: a token at (z, y, x) looks around "
        "(y, x, z) of its window, and the points are drawn there.",
    )
