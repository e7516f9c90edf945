"""Which organ each semantic token follows: its attention inside each predicted organ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.bmha_attention import (
    attention_wish,
    direction_of,
    token_names,
)
from napari_hybridseg.explain.capture import Seen
from napari_hybridseg.explain.cells import ONE, Cells
from napari_hybridseg.explain.findings import Findings, Run, organ_names
from napari_hybridseg.explain.products import Matrix
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.slabs import Slab
from napari_hybridseg.explain.streaming import Layer, stream
from napari_hybridseg.inference.windows import Shape


def token_organs(session: Session) -> Run:
    """Show how much of each token's attention lies inside each predicted organ."""
    place, direction = session.here, direction_of(session)
    name, keep = attention_wish(place, direction, session.head())
    stride = session.stride3(place.stride)
    cells = session.cells(stride)
    shape = cells.at(stride).window
    classes = session.card.num_classes

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        logits = session.run(window)
        return seen[name].T.reshape(-1, *shape), logits[0]

    mass = np.zeros((place.tokens, classes))
    voxels = np.zeros(classes)
    for item in stream(
        session,
        cells,
        {name: keep},
        [Layer(place.tokens, stride), Layer(classes, ONE)],
        extract,
        stage="Weighing tokens and organs",
    ):
        if isinstance(item, Progress):
            yield item
            continue
        weights, logits = item
        inside = _organ_shares(session, cells, stride, logits)
        cell_weights = weights.values.flatten(1).cpu().double()
        mass += (cell_weights @ inside.flatten(1).T.cpu().double()).numpy()
        voxels += inside.flatten(1).sum(dim=1).cpu().numpy() * np.prod(stride)
    return _organ_matrices(session, direction, mass, voxels)


def _organ_shares(session: Session, cells: Cells, stride: Shape, logits: Slab) -> Tensor:
    """Give the part of each cell that each organ takes, (K, dz, Y, X) in cells; padding is none."""
    plan = cells.voxels
    answer = logits.values.argmax(dim=0)
    inside = torch.zeros(answer.shape, dtype=torch.bool, device=answer.device)
    (z, y, x), (depth, height, width) = plan.before, session.prepared.working.shape
    rows, lines = (
        slice(max(first - begin, 0), max(first + count - begin, 0))
        for first, count, begin in ((z, depth, logits.start), (y, height, logits.top))
    )
    inside[rows, lines, x : x + width] = True
    return torch.stack(
        [
            functional.avg_pool3d(((answer == channel) & inside).float()[None, None], stride)[0, 0]
            for channel in range(session.card.num_classes)
        ]
    )


def _organ_matrices(
    session: Session, direction: str, mass: NDArray[np.float64], voxels: NDArray[np.float64]
) -> Findings:
    names = organ_names(session)
    there = np.flatnonzero(voxels > 0)
    if direction == "map-to-token":
        shares = mass / np.maximum(mass.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        lift = shares / (voxels / voxels.sum())[None].clip(min=1e-300)
        unit, lift_unit = "share of the token's attention", "times the organ's share of the volume"
    else:
        cell = np.prod(session.stride3(session.here.stride))
        shares = mass * cell / np.maximum(voxels, 1)
        mean = mass.sum(axis=1, keepdims=True) * cell / voxels.sum()
        lift = shares / np.maximum(mean, np.finfo(float).tiny)
        unit, lift_unit = "share of the organ's reading", "times the mean over the volume"
    rows = token_names(session.here.tokens)
    columns = tuple(names[channel] for channel in there)
    products = tuple(
        Matrix(
            values=values[:, there].astype(np.float32),
            rows=rows,
            columns=columns,
            title=session.title(session.head_name(), direction, what),
            row_title="semantic token",
            column_title="predicted organ",
            unit=said,
        )
        for values, what, said in (
            (lift, "attention by organ, relative", lift_unit),
            (shares, "attention by organ", unit),
        )
    )
    missing = [name for channel, name in enumerate(names) if voxels[channel] == 0]
    notes = (f"Not found in this volume: {', '.join(missing)}.",) if missing else ()
    return Findings(products, notes=notes)
