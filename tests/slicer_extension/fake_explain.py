"""Explanations without a network: made of the volume's own values, each where it says it is."""

from __future__ import annotations

import numpy as np

from napari_hybridseg.explain import (
    Bars,
    ExplainOptions,
    Explanation,
    HeatMap,
    Matrix,
    Product,
    SamplingPoints,
    View,
    WindowBox,
)
from napari_hybridseg.explain.regions import uncertain_regions
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, Volume

OFFSETS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, -3.5]])  # voxels (Z, Y, X)
WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def explanation(volume: Volume, options: ExplainOptions) -> Explanation:
    """Give something for every kind of view."""
    products, gives = products_of(volume, options)
    view = View(name=options.view, title=f"Pretended {options.view}", description="", gives=gives)
    window = None
    if options.point is not None:
        low = np.zeros(3) - 0.5
        high = np.asarray(volume.geometry.shape) - 0.5
        corners = [[(low, high)[c >> (2 - a) & 1][a] for a in range(3)] for c in range(8)]
        window = WindowBox(volume.geometry.world(np.asarray(corners)), tuple(low), tuple(high))
    return Explanation(
        view=view,
        options=options,
        products=products,
        provenance="pretended",
        window=window,
        facts={"voxels looked at": float(volume.array[0].size)},
        notes=("A note about the picture.",),
    )


def products_of(volume: Volume, options: ExplainOptions) -> tuple[tuple[Product, ...], str]:
    geometry, source, image = volume.geometry, volume.source, volume.array[0]
    heat = HeatMap(
        geometry,
        source,
        image.astype(np.float32),
        title=f"map of {options.view}",
        unit="nats",
        scale="diverging" if options.view == "integrated-gradients" else "sequential",
        limits=(0.0, 200.0) if options.view != "integrated-gradients" else None,
    )
    if options.view == "uncertain-regions":
        table, labels = uncertain_regions(heat, 150.0)
        return (table, labels, heat), "regions"
    if options.view == "winning-token":
        array = (image >= 100).astype(np.uint8)
        names = LabelScheme.from_names({1: "token 1"}, "tokens")
        return (LabelMap(geometry, source, array, names, name="winning token"),), "labels"
    if options.view == "voxel-tokens":
        values = np.array([0.5, 0.25, 0.25], np.float32)
        names = ("token 0", "token 1", "token 2")
        return (Bars(values, names, "Tokens", name_title="Semantic token", unit="share"),), "bars"
    if options.view == "token-organs":
        values = np.arange(24, dtype=np.float32).reshape(2, 12)
        columns = (*(f"token {n}" for n in range(11)), "token 0")
        return (Matrix(values, ("liver", "spleen"), columns, "Both"),), "matrix"
    if options.view == "sampling-points":
        query = np.asarray(options.point)
        voxels = geometry.index(query) + OFFSETS
        number = np.arange(4)
        points = SamplingPoints(
            geometry,
            source,
            query_mm=query,
            points_mm=geometry.world(voxels),
            points_voxel=voxels,
            weights=WEIGHTS,
            head=number // 2,
            level=number * 0,
            point=number % 2,
            inside=np.array([True, True, True, False]),
            title="Sampling points",
        )
        return (points,), "points"
    return (heat,), "map"
