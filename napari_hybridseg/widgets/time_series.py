"""Layers whose first axis is time, and the moment that is looked at."""

from __future__ import annotations

from typing import Any

import pint
from napari import current_viewer

TIME = "time"
_TIME_WORDS = ("t", TIME)


def is_time_series(layer: Any) -> bool:
    """Say whether a layer's first axis is time, whoever made the layer."""
    return layer.data.ndim == 4 and (
        str(layer.axis_labels[0]).lower() in _TIME_WORDS
        or pint.get_application_registry().Unit(layer.units[0]).dimensionality == {"[time]": 1}
    )


def shown_time_point(layer: Any) -> int:
    """Give the place in a time series where its viewer's slider stands; 0 without a viewer."""
    viewer = current_viewer()
    if viewer is None or layer not in viewer.layers or viewer.dims.ndim < 4:
        return 0
    moment = viewer.dims.point[-4]
    place = round((moment - layer.translate[0]) / layer.scale[0])
    return int(min(max(place, 0), len(layer.data) - 1))
