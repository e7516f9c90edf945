"""Where any network is unsure: entropy, margin, mirrored copies, and the regions of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import combinations
from math import log

import numpy as np
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Seen
from napari_hybridseg.explain.findings import Findings, Run, fill
from napari_hybridseg.explain.products import HeatMap
from napari_hybridseg.explain.regions import uncertain_regions
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, stream


def entropy(session: Session) -> Run:
    """Show how undecided the network is in each voxel, in nats."""
    heat = yield from _entropy_map(session)
    return Findings((heat,), facts=_entropy_facts(session, heat))


def margin(session: Session) -> Run:
    """Show how far the likeliest organ is ahead of the second."""
    heat = yield from _of_logits(session, _margin, "margin", "probability", (0.0, 1.0))
    return Findings((heat,))


def mirror_disagreement(session: Session) -> Run:
    """Show how much the answers to mirrored copies differ, in nats.

    The mutual information between answer and mirroring: the entropy of the mean answer less
    the mean entropy of the answers. It is taken window by window and blended.
    """
    axes = session.card.windows.mirror_axes
    subsets = [s for n in range(len(axes) + 1) for s in combinations(axes, n)]
    cells = session.cells()

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        mean: Tensor | None = None
        single: Tensor | None = None
        for subset in subsets:
            flips = [axis + 2 for axis in subset]
            answer = session.run(window.flip(flips)).flip(flips)[0].softmax(dim=0)
            doubt = entropy_of(answer)
            mean = answer if mean is None else mean + answer
            single = doubt if single is None else single + doubt
        assert mean is not None
        assert single is not None
        apart = entropy_of(mean / len(subsets)) - single / len(subsets)
        return (apart.clamp(min=0)[None],)

    blended = stream(session, cells, {}, [Layer(1)], extract, stage="Mirroring")
    array = yield from fill(session, cells, blended)
    title = session.title(f"disagreement of {len(subsets)} mirrored copies")
    heat = session.heat_map(array, title, "mutual information, nat")
    return Findings((heat,), facts={"mean, nat": float(array.mean(dtype=np.float64))})


def regions_of_doubt(session: Session) -> Run:
    """Show the regions of high entropy, the most uncertain first."""
    heat = yield from _entropy_map(session)
    options = session.options
    threshold = options.threshold * _most(session)
    table, labels = uncertain_regions(heat, threshold, options.smallest_ml, options.apart_mm)
    title = session.title("uncertain regions")
    table, labels = replace(table, title=title), replace(labels, name=title)
    notes = (
        ()
        if table.regions
        else (
            "The network is sure everywhere: no region is above the threshold; lower it for more.",
        )
    )
    return Findings((table, heat, labels), facts=_entropy_facts(session, heat), notes=notes)


def entropy_of(answer: Tensor) -> Tensor:
    """Give the entropy over the first axis of probabilities, in nats; 0 log 0 is 0."""
    return -(answer * answer.clamp(min=1e-30).log()).sum(dim=0)


def _margin(logits: Tensor) -> Tensor:
    first, second = logits.softmax(dim=0).topk(2, dim=0).values
    return first - second


def _entropy_map(session: Session) -> Generator[Progress, None, HeatMap]:
    return (
        yield from _of_logits(
            session,
            lambda logits: entropy_of(logits.softmax(dim=0)),
            "entropy",
            f"nat (0 sure, {_most(session):.2f} no idea)",
            (0.0, _most(session)),
        )
    )


def _of_logits(
    session: Session,
    reduce: Callable[[Tensor], Tensor],
    name: str,
    unit: str,
    limits: tuple[float, float],
) -> Generator[Progress, None, HeatMap]:
    cells = session.cells()

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        return (session.run(window)[0],)

    layer = Layer(session.card.num_classes)
    blended = stream(session, cells, {}, [layer], extract, stage="Looking for doubt")
    array = yield from fill(session, cells, blended, reduce)
    return session.heat_map(array, session.title(name), unit, limits=limits)


def _most(session: Session) -> float:
    return log(max(session.card.num_classes, 2))


def _entropy_facts(session: Session, heat: HeatMap) -> dict[str, float]:
    above = heat.array > session.options.threshold * _most(session)
    return {
        "mean entropy, nat": float(heat.array.mean(dtype=np.float64)),
        "uncertain, mL": float(above.sum()) * heat.geometry.voxel_volume_ml,
    }
