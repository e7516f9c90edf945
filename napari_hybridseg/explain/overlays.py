"""What is drawn over the three planes: maps, label maps, points, regions, the box, the click."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.explain.planes import PLANES, Planes
from napari_hybridseg.explain.products import HeatMap, RegionTable, SamplingPoints, WindowBox
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap

_MOST_NAMES, _MOST_ROWS = 14, 6
_NEAR_VOXELS = 3
_HEADS = "tab10"
_MARKERS = "os^Dv"


def draw_heat(planes: Planes, heat: HeatMap) -> None:
    """Lay a map over the planes, with its numbers in a colour bar."""
    low, high = _range(heat)
    diverging = heat.scale == "diverging"
    picture: Any = None
    for plane, axes in zip(PLANES, planes.axes, strict=True):
        values = planes.cut(heat.array, plane)
        strength = (
            np.abs(values) / max(abs(low), abs(high))
            if diverging
            else ((values - low) / (high - low))
        )
        picture = axes.imshow(
            values,
            cmap="RdBu_r" if diverging else "inferno",
            vmin=low,
            vmax=high,
            alpha=np.clip(0.15 + 1.1 * strength, 0, 0.85),
            **planes.how(plane),
        )
    # the bar shows full colours: the map is see-through only so that the image stays visible
    from matplotlib.cm import ScalarMappable

    beyond = heat.array.max() > high or heat.array.min() < low
    shown = ScalarMappable(picture.norm, picture.cmap)
    bar = planes.bar(shown, "both" if diverging and beyond else "neither")
    bar.set_label(fill(heat.unit, 34), fontsize=8.5)


def draw_labels(planes: Planes, labels: LabelMap) -> None:
    """Lay a label map over the planes, with a legend of the labels that are seen."""
    from matplotlib.patches import Patch

    seen: dict[int, int] = {}
    for plane, axes in zip(PLANES, planes.axes, strict=True):
        cut = planes.cut(labels.array, plane)
        colours = np.zeros((*cut.shape, 4))
        for label, count in zip(*np.unique(cut, return_counts=True), strict=True):
            if label == 0:
                continue
            seen[int(label)] = seen.get(int(label), 0) + int(count)
            rgb = labels.scheme.organ(int(label)).rgb
            colours[cut == label] = (*(value / 255 for value in rgb), 0.55)
        axes.imshow(colours, **planes.how(plane))
    most = sorted(seen, key=lambda label: -seen[label])[:_MOST_NAMES]
    patches = [
        Patch(color=labels.scheme.organ(label).colour, label=labels.scheme.organ(label).name)
        for label in most
    ]
    hidden = len(seen) - len(most)
    planes.legend(patches, f"and {hidden} more" if hidden > 0 else "")


def draw_points(planes: Planes, points: SamplingPoints) -> None:
    """Draw sampling points onto each plane: size by weight, colour by head, shape by level."""
    from matplotlib.lines import Line2D

    heads, levels = np.unique(points.head), np.unique(points.level)
    colours = _colours(len(heads))
    size = 6 + 160 * points.weights / points.weights.max()
    query = planes.volume.geometry.index(points.query_mm)
    for plane, axes in zip(PLANES, planes.axes, strict=True):
        axes.set_autoscale_on(False)
        for level in levels:
            for number, head in enumerate(heads):
                mine = (points.head == head) & (points.level == level)
                down, right = points.points_voxel[mine][:, [plane.down, plane.right]].T
                for d, r in zip(down, right, strict=True):
                    axes.plot(
                        [query[plane.right], r],
                        [query[plane.down], d],
                        color=colours[number],
                        linewidth=0.4,
                        alpha=0.6,
                    )
                axes.scatter(
                    right,
                    down,
                    s=size[mine],
                    color=[colours[number]],
                    marker=_MARKERS[int(level) % len(_MARKERS)],
                    edgecolor="white",
                    linewidth=0.4,
                    alpha=0.9,
                )
    handles = [
        Line2D([], [], color=colours[n], marker="o", linestyle="", label=f"head {head}")
        for n, head in enumerate(heads)
    ] + [
        Line2D(
            [],
            [],
            color="0.4",
            marker=_MARKERS[int(level) % len(_MARKERS)],
            linestyle="",
            label=f"level {level}",
        )
        for level in levels
    ]
    weights = points.weights
    planes.legend(handles, f"weights {weights.min():.2g} to {weights.max():.2g},\nshown by size")
    missed = int((~_seen(planes, points.points_voxel)).sum())
    if missed:
        planes.figure.text(
            0.99, 0.012, f"{missed} points lie outside the volume", fontsize=7, ha="right"
        )


def draw_regions(planes: Planes, table: RegionTable) -> None:
    """Write the first regions' numbers where they are most uncertain, and list them."""
    for region in table.regions[:_MOST_ROWS]:
        place = planes.volume.geometry.index(np.asarray(region.peak_mm))
        for plane, axes in zip(PLANES, planes.axes, strict=True):
            if abs(place[plane.across] - planes.focus[plane.across]) > _NEAR_VOXELS:
                continue
            axes.text(
                place[plane.right],
                place[plane.down],
                str(region.number),
                color="white",
                fontsize=8,
                ha="center",
                va="center",
                bbox={"boxstyle": "circle,pad=0.12", "fc": "#1f77b4", "ec": "none"},
            )
    lines = [
        f"{r.number}: {r.size_ml:.2f} mL, {r.mean_entropy:.2f} nat"
        for r in table.regions[:_MOST_ROWS]
    ]
    more = len(table.regions) - len(lines)
    said = "   ".join([*lines, f"and {more} more" if more > 0 else ""])
    planes.figure.text(0.02, 0.905, said, fontsize=7.5, va="top", color="0.25")


def draw_box(planes: Planes, window: WindowBox) -> None:
    """Draw the window's box."""
    from matplotlib.patches import Rectangle

    low, high = np.asarray(window.low), np.asarray(window.high)
    for plane, axes in zip(PLANES, planes.axes, strict=True):
        axes.set_autoscale_on(False)
        axes.add_patch(
            Rectangle(
                (low[plane.right], low[plane.down]),
                high[plane.right] - low[plane.right],
                high[plane.down] - low[plane.down],
                fill=False,
                edgecolor="#39c5bb",
                linewidth=1.2,
                linestyle="--",
            )
        )


def draw_cross(planes: Planes, point: tuple[float, float, float]) -> None:
    """Mark the clicked point."""
    place = planes.volume.geometry.index(np.asarray(point))
    for plane, axes in zip(PLANES, planes.axes, strict=True):
        axes.plot(
            place[plane.right], place[plane.down], "+", color="#00e5ff", markersize=11, mew=1.4
        )


def _seen(planes: Planes, voxels: NDArray[np.floating]) -> NDArray[np.bool_]:
    shape = np.asarray(planes.volume.geometry.shape)
    return np.asarray(((voxels >= -0.5) & (voxels <= shape - 0.5)).all(axis=1))


def _range(heat: HeatMap) -> tuple[float, float]:
    if heat.limits is not None:
        return heat.limits
    if heat.scale == "diverging":
        # a few voxels stand far out; the bar's ends say what is shown
        most = float(np.percentile(np.abs(heat.array), 99.9)) or 1.0
        return -most, most
    low, high = float(heat.array.min()), float(heat.array.max())
    return min(low, 0.0), high if high > min(low, 0.0) else 1.0


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps[_HEADS](number % 10) for number in range(count)]
