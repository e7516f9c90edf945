"""Bidirectional multi-head attention: semantic tokens, where they look, and who reads them.

Gao et al., arXiv 2203.00131v2, section 3.2 and Figs. 4c and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Keep, Seen, summing_to_one
from napari_hybridseg.explain.cells import ONE, Cells
from napari_hybridseg.explain.findings import (
    Findings,
    Run,
    fill,
    organ_names,
    predicted,
    run_through,
)
from napari_hybridseg.explain.places import Place
from napari_hybridseg.explain.products import Bars, Matrix
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.slabs import Slab
from napari_hybridseg.explain.streaming import Layer, look, stream
from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, smallest_label_type

_UNITS = {
    "map-to-token": "share of the token's attention, per cell of a window",
    "token-to-map": "share of the voxel's attention",
}


def attention_wish(place: Place, direction: str, head: int | None) -> tuple[str, Keep]:
    """Give the submodule that has a block's attention, and what to keep of its output.

    What is kept has the shape (positions, tokens): of one head, or the mean of all. Before that
    the weights are checked to sum to 1, over tokens (``token-to-map``) or over positions
    (``map-to-token``).
    """
    if place.name.endswith(".pooling"):
        return place.module, _pooling
    name = direction.replace("-", "_")
    return f"{place.module}.attention.{name}", partial(
        _attention, dim=-1 if direction == "token-to-map" else -2, head=head
    )


def token_map(session: Session) -> Run:
    """Show one semantic token as a heat map."""
    place, token, direction = session.here, session.token(), _direction(session)
    name, keep = attention_wish(place, direction, session.head())
    stride = session.stride3(place.stride)
    cells = session.cells(stride)
    shape = cells.at(stride).window

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        return (seen[name].reshape(1, *shape),)

    blended = stream(
        session,
        cells,
        {name: lambda output: keep(output)[:, token]},
        [Layer(1, stride)],
        extract,
        stage="Looking at the token",
    )
    array = yield from fill(session, cells, blended, stride=stride, linear=session.options.smooth)
    title = session.title(session.head_name(), f"token {token}", direction)
    return Findings((session.heat_map(array, title, _UNITS[direction]),))


def winning_token(session: Session) -> Run:
    """Show the token that each voxel reads from most."""
    place = session.here
    name, keep = attention_wish(place, "token-to-map", session.head())
    stride = session.stride3(place.stride)
    cells = session.cells(stride)
    shape = cells.at(stride).window

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        return (seen[name].T.reshape(-1, *shape),)

    blended = stream(
        session,
        cells,
        {name: keep},
        [Layer(place.tokens, stride, _winner)],
        extract,
        stage="Looking at the tokens",
    )
    labels = yield from fill(
        session,
        cells,
        blended,
        stride=stride,
        linear=False,
        dtype=smallest_label_type(place.tokens),
    )
    names = {number + 1: f"token {number}" for number in range(place.tokens)}
    title = session.title(session.head_name(), "winning token")
    scheme = LabelScheme.from_names(names, title)
    label_map = LabelMap(
        session.volume.geometry, session.volume.source, labels, scheme=scheme, name=title
    )
    note = "Label n is token n - 1: label 0 is kept for background."
    return Findings(
        (label_map,), facts={"tokens that win": float(len(label_map.present))}, notes=(note,)
    )


def voxel_tokens(session: Session) -> Run:
    """Show which tokens the clicked voxel reads from."""
    place = session.here
    name, keep = attention_wish(place, "token-to-map", session.head())
    stride = session.stride3(place.stride)
    cells = session.cells(stride)
    start = session.nearest_window(cells.voxels)
    yield Progress("Looking at the voxel", 0, 1)
    seen, logits = look(session, cells, start, {name: keep})
    cell = session.cell_in_window(cells.voxels, start, stride)
    weights = seen[name].reshape(*cells.at(stride).window, -1)[cell].cpu().numpy()
    bars = Bars(
        values=weights,
        names=_token_names(place.tokens),
        title=session.title(session.head_name(), "tokens that the voxel reads from"),
        name_title="semantic token",
        unit=_UNITS["token-to-map"],
        even=1 / place.tokens,
    )
    yield Progress("Looking at the voxel", 1, 1)
    note = predicted(session, cells, start, logits)
    return Findings((bars,), session.box(cells.voxels, start), notes=(note,))


def token_organs(session: Session) -> Run:
    """Show how much of each token's attention lies inside each predicted organ."""
    place, direction = session.here, _direction(session)
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


def token_similarity(session: Session) -> Run:
    """Show the cosine between every two semantic tokens (Fig. 4c)."""
    place = session.here
    cells = session.cells(session.stride3(place.stride))
    found: list[Tensor] = []
    box = None

    def keep(output: tuple[Tensor, Tensor]) -> Tensor:
        tokens = functional.normalize(output[1][0].flatten(1).cpu().double(), dim=0)
        return tokens.T @ tokens

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        found.append(seen[place.module])
        return ()

    if session.options.point is not None:
        start = session.nearest_window(cells.voxels)
        seen, _ = look(session, cells, start, {place.module: keep})
        found.append(seen[place.module])
        box = session.box(cells.voxels, start)
    else:
        yield from run_through(
            stream(session, cells, {place.module: keep}, [], extract, stage="Comparing tokens")
        )
    names = _token_names(place.tokens)
    matrix = Matrix(
        values=torch.stack(found).mean(dim=0).cpu().numpy().astype(np.float32),
        rows=names,
        columns=names,
        title=session.title("cosine of semantic tokens", _whose(found)),
        row_title="token",
        column_title="token",
        unit="cosine",
        scale="diverging",
        limits=(-1.0, 1.0),
    )
    return Findings((matrix,), box)


def fusion_attention(session: Session) -> Run:
    """Show how the maps of three scales read from each other."""
    from napari_hybridseg.explain.places import fusion_scales
    from napari_hybridseg.networks.registry import get_architecture

    place, head = session.here, session.head()
    cells = session.cells()
    found: list[Tensor] = []
    box = None

    def keep(output: Tensor) -> Tensor:
        return _one_head(summing_to_one(output, -1)[0], head)

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        session.run(window)
        found.append(seen[place.module])
        return ()

    if session.options.point is not None:
        start = session.nearest_window(cells.voxels)
        seen, _ = look(session, cells, start, {place.module: keep})
        found.append(seen[place.module])
        box = session.box(cells.voxels, start)
    else:
        yield from run_through(
            stream(session, cells, {place.module: keep}, [], extract, stage="Looking at the fusion")
        )
    weights = torch.stack(found).cpu().double().mean(dim=0).numpy()
    architecture = get_architecture(session.card.architecture)
    scales = fusion_scales(architecture.make_config(session.card.config).model_dump())
    names = tuple(f"{scale} token {t}" for scale in scales for t in range(place.tokens))
    shown = (session.head_name(), _whose(found))
    tokens = Matrix(
        values=weights.astype(np.float32),
        rows=names,
        columns=names,
        title=session.title("attention across scales", *shown),
        row_title="token that reads",
        column_title="token that is read",
        unit="share of the reading token's attention",
    )
    between = weights.reshape(3, place.tokens, 3, place.tokens).sum(axis=3).mean(axis=1)
    summary = Matrix(
        values=between.astype(np.float32),
        rows=scales,
        columns=scales,
        title=session.title("attention between scales", *shown),
        row_title="scale that reads",
        column_title="scale that is read",
        unit="share of the reading scale's attention",
        limits=(0.0, 1.0),
    )
    return Findings((tokens, summary), box)


def _attention(output: Tensor, dim: int, head: int | None) -> Tensor:
    return _one_head(summing_to_one(output, dim)[0], head)


def _pooling(output: Tensor) -> Tensor:
    return summing_to_one(output, -1)[0].T


def _winner(weights: Tensor) -> Tensor:
    # 16 bits: a label of a token fits, and the map is held in voxels for a few rows
    return (weights.argmax(dim=0) + 1).to(torch.int16)


def _one_head(weights: Tensor, head: int | None) -> Tensor:
    return weights.mean(dim=0) if head is None else weights[head]


def _direction(session: Session) -> str:
    direction = session.options.direction
    if session.here.name.endswith(".pooling") and direction != "map-to-token":
        raise ExplainError(
            f"{session.here.name} only gathers into the map; choose the direction 'map-to-token', "
            "or an attention block."
        )
    return direction


def _organ_shares(session: Session, cells: Cells, stride: Shape, logits: Slab) -> Tensor:
    """Give the part of each cell that each organ takes, (K, dz, Y, X) in cells; padding is none."""
    plan = cells.voxels
    answer = logits.values.argmax(dim=0)
    inside = torch.zeros(answer.shape, dtype=torch.bool, device=answer.device)
    (z, y, x), (depth, height, width) = plan.before, session.prepared.working.shape
    rows = slice(max(z - logits.start, 0), max(z + depth - logits.start, 0))
    inside[rows, y : y + height, x : x + width] = True
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
    rows = _token_names(session.here.tokens)
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


def _token_names(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


def _whose(found: list[Tensor]) -> str:
    return "one window" if len(found) == 1 else f"mean of {len(found)} windows"
