"""Going from organ to organ and from error to error."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from napari_hybridseg.metrics.error_places import Errors, OrganPlaces, Place
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_geometry import grid_of_layer


class Stop(NamedTuple):
    """Where the view went: to an organ's middle, or to its largest error of so many mm."""

    label: int
    error_mm: float | None = None


class OrganTour:
    """Moves a viewer's slices and camera.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    """

    def __init__(self, viewer: Any, book: LayerBook) -> None:
        self._viewer = viewer
        self._book = book
        self._last = Stop(0)

    def visit(self, label: int, errors: Errors, reference: str) -> Stop | None:
        """Go to an organ's middle, or to its largest error if its middle was the last stop."""
        places = next((p for p in errors.places if p.label == label), None)
        if places is None or places.centroid is None:
            return None
        if self._last == Stop(label) and places.worst is not None:
            return self._go_to_worst(places, reference)
        return self._go(places.centroid, Stop(label), reference)

    def next_worst(self, errors: Errors, reference: str) -> Stop | None:
        """Go to the largest error of all, and from one to the next smaller one."""
        wrong = [p for p in errors.places if p.worst is not None and p.worst.length_mm > 0]
        wrong.sort(key=_largest_first)
        if not wrong:
            return None
        labels = [places.label for places in wrong]
        is_on_tour = self._last.error_mm is not None and self._last.label in labels
        number = (labels.index(self._last.label) + 1) % len(labels) if is_on_tour else 0
        return self._go_to_worst(wrong[number], reference)

    def _go_to_worst(self, places: OrganPlaces, reference: str) -> Stop | None:
        assert places.worst is not None
        stop = Stop(places.label, places.worst.length_mm)
        return self._go(places.worst.start, stop, reference)

    def _go(self, voxel: Place, stop: Stop, reference: str) -> Stop | None:
        layer = self._book.find(reference)
        if layer is None:
            return None
        grid = grid_of_layer(layer, self._book.layers)
        point = layer.data_to_world(grid.points_to_layer(np.asarray(voxel)))
        go_to(self._viewer, point)
        self._last = stop
        return stop


def go_to(viewer: Any, point: Any) -> None:
    """Show the slices through a point of the world, in the middle of the view."""
    dims = viewer.dims
    values = tuple(float(value) for value in point)
    first = dims.ndim - len(values)
    for _ in range(2):
        # a slider answers with its own nearest step, which is another slice where something lies
        # beside the volume, and never the last one where rounding takes a step from the slider;
        # once it stands there it answers no more
        dims.set_point(range(first, dims.ndim), values)
    viewer.camera.center = values[-3:]


def _largest_first(places: OrganPlaces) -> float:
    return -places.worst.length_mm if places.worst is not None else 0.0
