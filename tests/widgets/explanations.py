"""Small explanations of every kind, each with a place that a test can recognise."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.engine.jobs import ExplainJob
from napari_hybridseg.explain import (
    Bars,
    Explanation,
    HeatMap,
    Matrix,
    SamplingPoints,
    View,
    WindowBox,
    find_place,
    find_view,
)
from napari_hybridseg.explain.regions import uncertain_regions
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, Volume

HOT = (3, 1, 4)
QUERY = (1, 2, 3)
SAMPLED = ((0, 0, 0), (3, 1, 4), (2, 3, 5), (1, 2, 2))
WEIGHTS = (0.75, 0.25, 0.5, 0.5)
HEADS, LEVELS = (0, 0, 1, 1), (0, 1, 0, 1)
DOUBTS = {(4, 3, 5): 0.9, (0, 2, 0): 0.7, (1, 0, 2): 0.5}
TOKENS = ("0", "1", "2", "3")


def explanation_of(job: ExplainJob) -> Explanation:
    """Answer a job with plain data of the right kind."""
    view = find_view(load_checkpoint(job.checkpoint).card, job.options.view)
    place = find_place(view, job.options.place)
    options = job.options.model_copy(update={"place": place.name if place else None})
    return Explanation(
        view=view,
        options=options,
        products=_products(view, job.volume),
        provenance="made up",
        window=_window(job.volume) if "point" in view.needs else None,
        facts={"numbers": 1.5},
        notes=("A note.",),
    )


def one_hot(volume: Volume, values: dict[tuple[int, int, int], float] | None = None) -> HeatMap:
    """Give a map that is not 0 in a few canonical voxels."""
    array = np.zeros(volume.geometry.shape, np.float32)
    for voxel, value in (values or {HOT: 0.5}).items():
        array[voxel] = value
    return HeatMap(volume.geometry, volume.source, array, "one voxel", "per cent")


def _products(view: View, volume: Volume) -> tuple[Any, ...]:
    heat = one_hot(volume)
    if view.gives == "labels":
        scheme = LabelScheme.from_names({1: "token 0"})
        labels = (heat.array > 0).astype(np.uint8)
        return (LabelMap(volume.geometry, volume.source, labels, scheme, "winning token"),)
    if view.gives == "bars":
        values = np.array((0.1, 0.2, 0.4, 0.3), np.float32)
        return (Bars(values, TOKENS, "tokens", "semantic token", "share", 0.25),)
    if view.gives == "matrix":
        values = np.arange(8, dtype=np.float32).reshape(4, 2)
        titles = ("matrix", "semantic token", "predicted organ")
        return (Matrix(values, TOKENS, ("background", "liver"), *titles),)
    if view.gives == "points":
        return (_points(volume),)
    if view.gives == "regions":
        doubt = one_hot(volume, DOUBTS)
        table, labels = uncertain_regions(doubt, 0.3)
        return (table, doubt, labels)
    return (heat,)


def _points(volume: Volume) -> SamplingPoints:
    voxels = np.array(SAMPLED, dtype=float)
    return SamplingPoints(
        geometry=volume.geometry,
        source=volume.source,
        query_mm=volume.geometry.world(np.array(QUERY, dtype=float)),
        points_mm=volume.geometry.world(voxels),
        points_voxel=voxels,
        weights=np.array(WEIGHTS, np.float32),
        head=np.array(HEADS),
        level=np.array(LEVELS),
        point=np.zeros(4, dtype=int),
        inside=np.ones(4, dtype=bool),
        title="sampling points",
    )


def _window(volume: Volume) -> WindowBox:
    low, high = (-0.5, 0.5, 1.5), (3.5, 3.5, 5.5)
    ends = np.array([low, high]).T
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    return WindowBox(volume.geometry.world(corners), low, high)
