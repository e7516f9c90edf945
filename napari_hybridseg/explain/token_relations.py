"""How semantic tokens relate: how alike they are, and how those of three scales mix.

Gao et al., arXiv 2203.00131v2, Fig. 4c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.explain.bmha_attention import one_head, token_names
from napari_hybridseg.explain.capture import Seen, summing_to_one
from napari_hybridseg.explain.findings import Findings, Run, run_through
from napari_hybridseg.explain.places import fusion_scales
from napari_hybridseg.explain.products import Matrix
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import look, stream
from napari_hybridseg.networks.registry import get_architecture


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
    names = token_names(place.tokens)
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
    place, head = session.here, session.head()
    cells = session.cells()
    found: list[Tensor] = []
    box = None

    def keep(output: Tensor) -> Tensor:
        return one_head(summing_to_one(output, -1)[0], head)

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


def _whose(found: list[Tensor]) -> str:
    return "one window" if len(found) == 1 else f"mean of {len(found)} windows"
