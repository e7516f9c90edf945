"""Where any network is unsure: entropy, margin, mirrored copies, and the regions of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import combinations
from math import log

import numpy as np
from scipy import ndimage
from torch import Tensor

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Seen
from napari_hybridseg.explain.findings import Findings, Run, fill
from napari_hybridseg.explain.products import HeatMap, RegionTable, UncertainRegion
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, stream
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, smallest_label_type

_MOST_REGIONS = 65535


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
    """Show the connected regions of high entropy, the most uncertain first."""
    heat = yield from _entropy_map(session)
    threshold = session.options.threshold * _most(session)
    table, labels = uncertain_regions(heat, threshold, session.options.smallest_ml)
    notes = (
        ()
        if table.regions
        else (
            "The network is sure everywhere: no region is above the threshold; lower it for more.",
        )
    )
    return Findings((table, heat, labels), facts=_entropy_facts(session, heat), notes=notes)


def uncertain_regions(
    heat: HeatMap, threshold: float, smallest_ml: float = 0.0
) -> tuple[RegionTable, LabelMap]:
    """Find the connected regions (26 neighbours) in which a map of entropy is above a threshold.

    Parameters
    ----------
    heat : HeatMap
        Entropy in nats.
    threshold : float
        In nats.
    smallest_ml : float
        Regions below this volume are left out.

    Returns
    -------
    table : RegionTable
        Ordered by entropy summed over the region, the largest first.
    labels : LabelMap
        The regions, numbered in that order.
    """
    found, count = ndimage.label(heat.array > threshold, structure=np.ones((3, 3, 3)))
    places = np.flatnonzero(found)
    number = found.ravel()[places]
    doubt = heat.array.ravel()[places].astype(np.float64)
    size = np.bincount(number, minlength=count + 1) * heat.geometry.voxel_volume_ml
    total = np.bincount(number, weights=doubt, minlength=count + 1)
    order = [n for n in np.argsort(-total, kind="stable") if n > 0 and size[n] >= smallest_ml]
    order = order[:_MOST_REGIONS]
    index = np.stack(np.unravel_index(places, heat.array.shape), axis=1)
    centre = [np.bincount(number, weights=doubt * axis, minlength=count + 1) for axis in index.T]
    by_region = np.lexsort((-doubt, number))
    first = np.searchsorted(number[by_region], np.arange(count + 1))
    regions, renumber = [], np.zeros(count + 1, dtype=smallest_label_type(len(order)))
    for rank, old in enumerate(order, 1):
        renumber[old] = rank
        centroid = heat.geometry.world(np.array([axis[old] / total[old] for axis in centre]))
        peak = heat.geometry.world(index[by_region[first[old]]])
        regions.append(
            UncertainRegion(
                number=rank,
                centroid_mm=tuple(float(v) for v in centroid),  # type: ignore[arg-type]
                peak_mm=tuple(float(v) for v in peak),  # type: ignore[arg-type]
                size_ml=float(size[old]),
                mean_entropy=float(total[old] * heat.geometry.voxel_volume_ml / size[old]),
            )
        )
    names = {region.number: f"uncertain {region.number}" for region in regions}
    labels = LabelMap(
        heat.geometry,
        heat.source,
        renumber[found],
        scheme=LabelScheme.from_names(names, "uncertain regions"),
        name="uncertain regions",
    )
    return RegionTable(tuple(regions), threshold), labels


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
