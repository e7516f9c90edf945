"""Pictures of explanations for papers and reports: three tidy planes, or a chart.

matplotlib is imported when a picture is made, without its global state; nothing here needs torch.
The planes are shown as radiologists see them: axial from below (the patient's right at the left),
coronal from the front, sagittal from the left.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hybridseg.atomic import WriteError, atomic_path
from napari_hybridseg.explain.charts import draw_bars, draw_matrix
from napari_hybridseg.explain.overlays import (
    draw_box,
    draw_cross,
    draw_heat,
    draw_labels,
    draw_points,
    draw_regions,
)
from napari_hybridseg.explain.planes import Planes
from napari_hybridseg.explain.products import (
    Bars,
    Explanation,
    HeatMap,
    Matrix,
    Product,
    RegionTable,
    SamplingPoints,
)
from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.volume import LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Millimetres = tuple[float, float, float]

_DPI = 150


def panel_figure(
    volume: Volume,
    explanation: Explanation,
    product: Product | None = None,
    *,
    focus_mm: Millimetres | None = None,
    size_inches: tuple[float, float] | None = None,
) -> Figure:
    """Draw one product of an explanation, with numbers and a line that says what it is.

    Parameters
    ----------
    volume : Volume
        The image that was explained.
    explanation : Explanation
        What was found.
    product : Product, optional
        One of ``explanation.products``; the first where none is given.
    focus_mm : tuple of float, optional
        The point, LPS millimetres, that the three planes go through; where none is given, the
        clicked point, or where the map is strongest.
    size_inches : tuple of float, optional
        Width and height; where none is given, what suits the product.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot: a face may show it, `save_figure` writes it.

    Raises
    ------
    ExplainError
        If matplotlib is not installed.
    """
    figure = _new_figure()
    if size_inches is not None:
        figure.set_size_inches(*size_inches)
    draw_panel(
        figure, volume, explanation, product, focus_mm=focus_mm, keeps_size=size_inches is not None
    )
    return figure


def draw_panel(
    figure: Figure,
    volume: Volume,
    explanation: Explanation,
    product: Product | None = None,
    *,
    focus_mm: Millimetres | None = None,
    keeps_size: bool = False,
) -> None:
    """Draw as :func:`panel_figure` does into a figure, in place of what it holds.

    A figure that ``keeps_size`` is laid out for the inches that it has.
    """
    figure.clear()
    product = explanation.products[0] if product is None else product
    if isinstance(product, Matrix):
        draw_matrix(figure, product, keeps_size=keeps_size)
    elif isinstance(product, Bars):
        draw_bars(figure, product)
    else:
        _draw_planes(figure, volume, explanation, product, focus_mm)
    figure.text(0.01, 0.012, explanation.provenance, fontsize=7, color="0.35", va="bottom")


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a figure, as PNG or SVG by the ending of the name.

    Raises
    ------
    WriteError
        If it is neither, cannot be written, or exists and ``overwrite`` is not given.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise WriteError(f"{path} is no picture that can be written; end its name in .png or .svg.")
    content = figure_bytes(figure, "svg" if kind == "svg" else "png")
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def figure_bytes(figure: Figure, kind: Literal["png", "svg"] = "png") -> bytes:
    """Give a figure as the content of a PNG or SVG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=_DPI, facecolor="white")
    return buffer.getvalue()


def can_draw() -> bool:
    """Say whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def _draw_planes(
    figure: Figure,
    volume: Volume,
    explanation: Explanation,
    product: Any,
    focus_mm: Millimetres | None,
) -> None:
    if isinstance(product, RegionTable):
        maps = explanation.of_kind(HeatMap)
        planes = Planes(figure, volume, _focus(volume, explanation, product, focus_mm))
        planes.title(product.title)
        if maps:
            draw_heat(planes, maps[0])
        draw_regions(planes, product)
        return
    planes = Planes(figure, volume, _focus(volume, explanation, product, focus_mm))
    if isinstance(product, LabelMap):
        planes.title(product.name)
        draw_labels(planes, product)
    elif isinstance(product, HeatMap):
        planes.title(product.title)
        draw_heat(planes, product)
    elif isinstance(product, SamplingPoints):
        planes.title(product.title)
        draw_points(planes, product)
    if explanation.window is not None:
        draw_box(planes, explanation.window)
    if explanation.options.point is not None:
        draw_cross(planes, explanation.options.point)


def _focus(
    volume: Volume, explanation: Explanation, product: Product, focus_mm: Millimetres | None
) -> tuple[int, int, int]:
    """Give the voxel (Z, Y, X) that the planes go through."""
    shape = np.asarray(volume.geometry.shape)
    if focus_mm is None and explanation.options.point is not None:
        focus_mm = explanation.options.point
    if focus_mm is None and isinstance(product, RegionTable) and product.regions:
        focus_mm = product.regions[0].peak_mm
    if focus_mm is not None:
        index = np.rint(volume.geometry.index(np.asarray(focus_mm)))
    elif isinstance(product, HeatMap) and product.array.any():
        index = _strongest(np.abs(product.array))
    else:
        index = (shape - 1) / 2
    z, y, x = np.clip(index, 0, shape - 1).astype(int)
    return int(z), int(y), int(x)


def _strongest(array: np.ndarray) -> np.ndarray:
    """Find the middle of what is strongest: coarse maps have many voxels of the same value."""
    top = np.argwhere(array >= array.max() * 0.999)
    middle = top.mean(axis=0)
    return top[np.linalg.norm(top - middle, axis=1).argmin()]


def _new_figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExplainError(
            "Pictures need matplotlib; install it with: pip install 'napari-hybridseg[explain]'."
        ) from error
    figure = Figure(figsize=(11, 4.9))
    FigureCanvasAgg(figure)
    return figure
