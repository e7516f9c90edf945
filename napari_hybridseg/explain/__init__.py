"""What a network saw: attention, sampling points, gradients and doubt, on the volume's own grid.

Importing this loads no torch and no matplotlib; ``explain`` loads torch when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hybridseg.explain.options import ExplainOptions
from napari_hybridseg.explain.products import (
    Bars,
    Explanation,
    HeatMap,
    Matrix,
    Product,
    RegionTable,
    SamplingPoints,
    UncertainRegion,
    WindowBox,
)
from napari_hybridseg.explain.views import (
    ExplainError,
    Place,
    View,
    find_place,
    find_view,
    views_of,
)

if TYPE_CHECKING:
    from napari_hybridseg.explain.explaining import explain

__all__ = [
    "Bars",
    "ExplainError",
    "ExplainOptions",
    "Explanation",
    "HeatMap",
    "Matrix",
    "Place",
    "Product",
    "RegionTable",
    "SamplingPoints",
    "UncertainRegion",
    "View",
    "WindowBox",
    "explain",
    "find_place",
    "find_view",
    "views_of",
]


def __getattr__(name: str) -> Any:
    """Import ``explain``, and torch with it, only when it is asked for."""
    if name == "explain":
        from napari_hybridseg.explain.explaining import explain

        return explain
    raise AttributeError(name)
