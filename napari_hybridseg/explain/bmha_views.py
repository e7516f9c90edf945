"""Semantic tokens in the volume: where one looks, which wins, and which a voxel reads from.

Gao et al., arXiv 2203.00131v2, section 3.2 and Fig. 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.bmha_attention import (
    UNITS,
    attention_wish,
    direction_of,
    token_names,
)
from napari_hybridseg.explain.capture import Seen
from napari_hybridseg.explain.findings import Findings, Run, fill, predicted
from napari_hybridseg.explain.products import Bars
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, look, stream
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, smallest_label_type


def token_map(session: Session) -> Run:
    """Show one semantic token as a heat map."""
    place, token, direction = session.here, session.token(), direction_of(session)
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
    return Findings((session.heat_map(array, title, UNITS[direction]),))


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
        names=token_names(place.tokens),
        title=session.title(session.head_name(), "tokens that the voxel reads from"),
        name_title="semantic token",
        unit=UNITS["token-to-map"],
        even=1 / place.tokens,
    )
    yield Progress("Looking at the voxel", 1, 1)
    note = predicted(session, cells, start, logits)
    return Findings((bars,), session.box(cells.voxels, start), notes=(note,))


def _winner(weights: Tensor) -> Tensor:
    # 16 bits: a label of a token fits, and the map is held in voxels for a few rows
    return (weights.argmax(dim=0) + 1).to(torch.int16)
