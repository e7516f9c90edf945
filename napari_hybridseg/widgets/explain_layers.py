"""Explanations as layers of the volume: maps, label maps, sampling points, the window's box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image, Points
from napari.utils.colormaps import Colormap, ensure_colormap
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_hybridseg.explain import Explanation, HeatMap, SamplingPoints, WindowBox
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.explain_caption import ExplainCaption
from napari_hybridseg.widgets.label_appearance import label_look
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_geometry import METADATA_KEY, LayerGrid

MARK_NAME, BOX_NAME = "explained voxel", "window of the voxel"
_MARK_COLOUR = "#ffd43b"
_BOX_COLOUR = "#ffd43b"
_BOX_VOXELS, _SHADES = 2, 256
_BLUE_WHITE_RED = ("#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f")
_SEVERAL_COLOURS = (
    "#e64980",
    "#4dabf7",
    "#69db7c",
    "#ffa94d",
    "#b197fc",
    "#3bc9db",
    "#ffe066",
    "#ff8787",
)
_SMALLEST_POINT, _LARGEST_POINT = 1.0, 6.0  # voxels


class ExplainLayers:
    """Keeps the layers of one explanation in a viewer; the next takes their place.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    """

    def __init__(self, viewer: Any, book: LayerBook) -> None:
        self._viewer = viewer
        self._book = book
        self._keys: list[str] = []
        self._points: list[str] = []
        self._mark = ""
        self._caption = ExplainCaption(viewer)
        self._before_title = ""

    def close(self) -> None:
        """Follow the viewer no longer."""
        self._caption.close()

    def show(
        self,
        explanation: Explanation,
        grid: LayerGrid,
        placement: Mapping[str, Any],
        name: str,
        colour_by: str = "head",
    ) -> None:
        """Draw what has a place; charts and tables are shown elsewhere."""
        chosen, slices = list(self._viewer.layers.selection), self._viewer.dims.point
        self._remove(self._keys)
        self._caption.clear()
        self._keys, self._points = [], []
        self._place = dict(placement) | {"metadata": {METADATA_KEY: {"is_aid": True}}}
        for product in explanation.products:
            if isinstance(product, HeatMap):
                self._add_map(product, grid, name)
            elif isinstance(product, LabelMap):
                self._add_labels(product, grid, name)
            elif isinstance(product, SamplingPoints):
                self._add_points(product, grid, name)
        self._before_title = f"{name} · "
        self.colour_points(colour_by)
        if explanation.window is not None:
            self._add_box(explanation.window, grid)
        # what reaches beyond the volume widens napari's sliders, which moves the slices
        self._viewer.dims.point = slices
        # the status bar tells of the selected layer what is under the mouse: a point's weight
        points = [self._book.find(key) for key in self._points[1:]]
        still = points or [layer for layer in chosen if layer in self._viewer.layers]
        still = still or [self._book.find(key) for key in self._keys[:1]]
        if still:
            self._viewer.layers.selection = set(still)

    def colour_points(self, by: str) -> None:
        """Give sampling points and the lines to them a colour for each head, or each level."""
        for key in self._points:
            layer = self._book.find(key)
            if layer is None:
                continue
            colours = [_several(int(number)) for number in layer.features[by]]
            if isinstance(layer, Points):
                layer.face_color = colours
            else:
                layer.edge_color = np.asarray(colours)
        self._tell(by)

    def mark(self, place: NDArray[np.floating], placement: Mapping[str, Any]) -> None:
        """Mark the clicked voxel, (Z, Y, X) in the layer's array."""
        self._remove([self._mark])
        chosen = list(self._viewer.layers.selection)
        layer = self._viewer.add_points(
            place[None],
            name=MARK_NAME,
            symbol="cross",
            face_color="transparent",
            border_color=_MARK_COLOUR,
            border_width=0.12,
            size=3,
            metadata={METADATA_KEY: {"is_aid": True}},
            **dict(placement),
        )
        self._mark = key_of(layer)
        self._viewer.layers.selection = set(chosen)

    def unmark(self) -> None:
        """Take the mark away."""
        self._remove([self._mark])
        self._mark = ""

    def _tell(self, colour_by: str) -> None:
        """Write into the picture what its colours are."""
        drawn = [self._book.find(key) for key in self._points or self._keys]
        if not drawn or drawn[-1] is None:
            return
        # of several the one that has a colour bar
        told = next((layer for layer in drawn if isinstance(layer, Image)), drawn[-1])
        what = f" [colour: {colour_by}, size: weight]" if self._points else ""
        self._caption.show(told.name.removeprefix(self._before_title) + what, told)

    def _add_map(self, heat: HeatMap, grid: LayerGrid, name: str) -> None:
        low, high = contrast_of(heat)
        layer = self._viewer.add_image(
            np.ascontiguousarray(grid.to_layer(heat.array)),
            name=f"{name} · {heat.title}" + (f" [{heat.unit}]" if heat.unit else ""),
            colormap=see_through(heat.scale == "diverging"),
            contrast_limits=(low, high),
            blending="translucent",
            **self._place,
        )
        layer.colorbar.visible = True
        self._keys.append(key_of(layer))

    def _add_labels(self, labels: LabelMap, grid: LayerGrid, name: str) -> None:
        layer = self._viewer.add_labels(
            np.ascontiguousarray(grid.to_layer(labels.array)),
            name=f"{name} · {labels.name}",
            **(self._place | label_look(labels.scheme)),
        )
        layer.editable = False
        self._keys.append(key_of(layer))

    def _add_points(self, points: SamplingPoints, grid: LayerGrid, name: str) -> None:
        places = grid.points_to_layer(points.points_voxel)
        query = grid.shown.index(points.query_mm)
        features = {
            "weight": points.weights,
            "head": points.head,
            "level": points.level,
            "point": points.point,
            "inside": points.inside,
        }
        rays = np.stack([np.broadcast_to(query, places.shape), places - query], axis=1)
        vectors = self._viewer.add_vectors(
            rays,
            name=f"{name} · {points.title} (from the voxel)",
            edge_width=0.25,
            vector_style="line",
            opacity=0.6,
            features=features,
            **self._place,
        )
        layer = self._viewer.add_points(
            places,
            name=f"{name} · {points.title}",
            size=point_sizes(points.weights),
            border_color="black",
            border_width=0.05,
            out_of_slice_display=True,
            features=features,
            **self._place,
        )
        self._points = [key_of(vectors), key_of(layer)]
        self._keys += self._points

    def _add_box(self, box: WindowBox, grid: LayerGrid) -> None:
        """Show the window by the outline of an empty layer, which is seen in every slice."""
        ends = grid.points_to_layer(np.array([box.low, box.high]))
        low, size = ends.min(axis=0), np.ptp(ends, axis=0)
        # the smallest voxels give napari's sliders their step: no smaller ones than the volume's
        count = np.where(size < _BOX_VOXELS, 1, _BOX_VOXELS)
        place = self._place | {"scale": np.asarray(self._place["scale"]) * size / count}
        keys = ("scale", "translate", "rotate", "shear")
        to_world = Affine(ndim=3, **{key: self._place[key] for key in keys})
        place["translate"] = to_world(low + size / count / 2)
        layer = self._viewer.add_image(
            np.zeros(count, dtype=np.float32),
            name=BOX_NAME,
            blending="additive",
            contrast_limits=(0, 1),
            **place,
        )
        outline = layer.bounding_box
        outline.visible, outline.points = True, False
        outline.line_color, outline.line_thickness = _BOX_COLOUR, 1.5
        # napari 0.9 draws an outline half a voxel off until its layer is placed once more
        layer.translate = place["translate"]
        self._keys.append(key_of(layer))

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            layer = self._book.find(key) if key else None
            if layer is not None:
                self._viewer.layers.remove(layer)


def see_through(is_diverging: bool) -> Colormap:
    """Give a colour map that shows the image where there is little to see in the map."""
    name = "blue-white-red" if is_diverging else "inferno"
    anchors = _BLUE_WHITE_RED if is_diverging else ensure_colormap(name).colors
    colours = np.array([_rgba(c) if isinstance(c, str) else c for c in anchors])
    place = np.linspace(0, 1, _SHADES)
    found = [np.interp(place, np.linspace(0, 1, len(colours)), axis) for axis in colours.T[:3]]
    strength = abs(2 * place - 1) if is_diverging else place
    shades = np.stack([*found, np.clip(0.1 + 1.1 * strength, 0, 0.85)], axis=-1)
    return Colormap(shades, name=f"{name}, see-through")


def contrast_of(heat: HeatMap) -> tuple[float, float]:
    """Give the range of a map's colours: what its numbers can be, or what they are.

    In a map that has a middle a few voxels stand far out: its range is that of all others.
    """
    low, high = heat.limits if heat.limits is not None else (0.0, 0.0)
    if heat.scale == "diverging" and high <= low:
        high = float(np.percentile(np.abs(heat.array), 99.9))
        low = -high
    elif high <= low:
        low, high = float(np.nanmin(heat.array)), float(np.nanmax(heat.array))
    return low, high if high > low else low + 1.0


def point_sizes(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give a diameter in voxels for each weight: its area grows with the weight."""
    most = float(weights.max()) if weights.size else 0.0
    part = weights / most if most > 0 else np.zeros_like(weights)
    sizes = _SMALLEST_POINT + (_LARGEST_POINT - _SMALLEST_POINT) * np.sqrt(part)
    return np.asarray(sizes, dtype=np.float64)


def _several(number: int) -> tuple[float, float, float, float]:
    return _rgba(_SEVERAL_COLOURS[number % len(_SEVERAL_COLOURS)])


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, 1.0
