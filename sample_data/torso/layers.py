"""Layers of paint: each covers some voxels partly or fully with one tissue and one label."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from torso.space import Box, Field, Grid


@dataclass(frozen=True)
class Layer:
    """One tissue painted over what lies below.

    Attributes
    ----------
    tissue : str
        A key of the phase tables in `torso.tissues`.
    box : Box
        Where in the grid.
    cover : ndarray
        (Z, Y, X) of the box, the covered share of each voxel, 0 to 1.
    label : int
        The organ that a covered voxel belongs to; 0 is background.
    detail : ndarray or None
        Texture in HU that is added to the tissue's own value, (Z, Y, X) of the box.
    """

    tissue: str
    box: Box
    cover: Field = field(repr=False)
    label: int = 0
    detail: Field | None = field(default=None, repr=False)


def cover(shape: Field, softness: float = 2.0) -> Field:
    """Turn a signed distance in mm into the covered share of each voxel."""
    return np.clip(0.5 - shape / softness, 0, 1).astype(np.float32)


def trimmed(layer: Layer) -> Layer:
    """Cut a layer's box down to where it covers anything."""
    bounds: list[slice] = []
    for number in range(3):
        others = tuple({0, 1, 2} - {number})
        used = np.flatnonzero(layer.cover.max(axis=others) > 0)
        bounds.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0))
    inner: Box = (bounds[0], bounds[1], bounds[2])
    box = tuple(
        slice(outer.start + part.start, outer.start + part.stop)
        for outer, part in zip(layer.box, inner, strict=True)
    )
    return replace(
        layer,
        box=(box[0], box[1], box[2]),
        cover=layer.cover[inner].astype(np.float32),
        detail=None if layer.detail is None else layer.detail[inner].astype(np.float32),
    )


def paint_intensity(grid: Grid, layers: tuple[Layer, ...], values: dict[str, float]) -> Field:
    """Composite the layers' intensities in HU over air, first layer lowest.

    Parameters
    ----------
    grid : Grid
        The grid the layers lie on.
    layers : tuple of Layer
        From bottom to top.
    values : dict
        HU of every tissue that the layers name.
    """
    canvas = np.full(grid.shape, -1000, dtype=np.float32)
    for layer in layers:
        below = canvas[layer.box]
        value = np.float32(values[layer.tissue])
        paint = value if layer.detail is None else value + layer.detail
        below += layer.cover * (paint - below)
    return canvas


def paint_labels(grid: Grid, layers: tuple[Layer, ...]) -> np.ndarray:
    """Give each voxel the label of the topmost layer that covers at least half of it."""
    canvas = np.zeros(grid.shape, dtype=np.uint8)
    for layer in layers:
        canvas[layer.box][layer.cover >= 0.5] = layer.label
    return canvas
