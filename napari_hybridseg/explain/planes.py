"""Three planes of a volume with something drawn over them, and letters for what is where."""

from __future__ import annotations

from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.explain.products import HeatMap, RegionTable, SamplingPoints, WindowBox
from napari_hybridseg.volume import LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
_TOP, _BOTTOM, _RIGHT, _LEFT, _GAP = 0.84, 0.1, 0.86, 0.02, 0.035
_MOST_NAMES, _MOST_ROWS = 14, 6
_NEAR_VOXELS = 3
_HEADS = "tab10"
_MARKERS = "os^Dv"


class Plane(NamedTuple):
    """A plane of the canonical array: the axis across, and the axes that run down and right."""

    name: str
    across: int
    down: int
    right: int
    flipped: bool


AXIAL = Plane("axial", 0, 1, 2, False)
CORONAL = Plane("coronal", 1, 0, 2, True)
SAGITTAL = Plane("sagittal", 2, 0, 1, True)
PLANES = (AXIAL, CORONAL, SAGITTAL)


class Planes:
    """Three planes through one voxel, in the volume's own proportions.

    Parameters
    ----------
    figure : Figure
        Empty.
    volume : Volume
        Its first channel is shown in grey, from its 1st to its 99th percentile.
    focus : tuple of int
        The voxel (Z, Y, X) that the planes go through.
    """

    def __init__(self, figure: Figure, volume: Volume, focus: tuple[int, int, int]) -> None:
        self._figure = figure
        self._volume = volume
        self._focus = focus
        low, high = np.percentile(volume.array[0], (1, 99))
        self._axes = [
            self._one(plane, place, float(low), float(high if high > low else low + 1))
            for plane, place in zip(PLANES, self._places(), strict=True)
        ]

    def title(self, text: str) -> None:
        """Say what is shown."""
        self._figure.text(0.01, 0.965, shorten(text, 150), fontsize=11, va="top")

    def heat(self, heat: HeatMap) -> None:
        """Lay a map over the planes, with its numbers in a colour bar."""
        low, high = _range(heat)
        diverging = heat.scale == "diverging"
        picture: Any = None
        for plane, axes in zip(PLANES, self._axes, strict=True):
            values = self._cut(heat.array, plane)
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
                **self._how(plane),
            )
        # the bar shows full colours: the map is see-through only so that the image stays visible
        from matplotlib.cm import ScalarMappable

        beyond = heat.array.max() > high or heat.array.min() < low
        shown = ScalarMappable(picture.norm, picture.cmap)
        bar = self._bar(shown, "both" if diverging and beyond else "neither")
        bar.set_label(fill(heat.unit, 34), fontsize=8.5)

    def labels(self, labels: LabelMap) -> None:
        """Lay a label map over the planes, with a legend of the labels that are seen."""
        from matplotlib.patches import Patch

        seen: dict[int, int] = {}
        for plane, axes in zip(PLANES, self._axes, strict=True):
            cut = self._cut(labels.array, plane)
            colours = np.zeros((*cut.shape, 4))
            for label, count in zip(*np.unique(cut, return_counts=True), strict=True):
                if label == 0:
                    continue
                seen[int(label)] = seen.get(int(label), 0) + int(count)
                rgb = labels.scheme.organ(int(label)).rgb
                colours[cut == label] = (*(value / 255 for value in rgb), 0.55)
            axes.imshow(colours, **self._how(plane))
        most = sorted(seen, key=lambda label: -seen[label])[:_MOST_NAMES]
        patches = [
            Patch(color=labels.scheme.organ(label).colour, label=labels.scheme.organ(label).name)
            for label in most
        ]
        hidden = len(seen) - len(most)
        self._legend(patches, f"and {hidden} more" if hidden > 0 else "")

    def points(self, points: SamplingPoints) -> None:
        """Draw sampling points onto each plane: size by weight, colour by head, shape by level."""
        from matplotlib.lines import Line2D

        heads, levels = np.unique(points.head), np.unique(points.level)
        colours = _colours(len(heads))
        size = 6 + 160 * points.weights / points.weights.max()
        query = self._volume.geometry.index(points.query_mm)
        for plane, axes in zip(PLANES, self._axes, strict=True):
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
        self._legend(handles, f"weights {weights.min():.2g} to {weights.max():.2g},\nshown by size")
        missed = int((~self._seen(points.points_voxel)).sum())
        if missed:
            self._figure.text(
                0.99, 0.012, f"{missed} points lie outside the volume", fontsize=7, ha="right"
            )

    def regions(self, table: RegionTable) -> None:
        """Write the first regions' numbers where they are most uncertain, and list them."""
        for region in table.regions[:_MOST_ROWS]:
            place = self._volume.geometry.index(np.asarray(region.peak_mm))
            for plane, axes in zip(PLANES, self._axes, strict=True):
                if abs(place[plane.across] - self._focus[plane.across]) > _NEAR_VOXELS:
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
        self._figure.text(0.02, 0.905, said, fontsize=7.5, va="top", color="0.25")

    def box(self, window: WindowBox) -> None:
        """Draw the window's box."""
        from matplotlib.patches import Rectangle

        low, high = np.asarray(window.low), np.asarray(window.high)
        for plane, axes in zip(PLANES, self._axes, strict=True):
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

    def cross(self, point: tuple[float, float, float]) -> None:
        """Mark the clicked point."""
        place = self._volume.geometry.index(np.asarray(point))
        for plane, axes in zip(PLANES, self._axes, strict=True):
            axes.plot(
                place[plane.right], place[plane.down], "+", color="#00e5ff", markersize=11, mew=1.4
            )

    def _places(self) -> list[tuple[float, float, float, float]]:
        """Share the width out, so that millimetres have one length in all three planes."""
        extent = np.asarray(self._volume.geometry.shape) * self._volume.geometry.spacing_zyx
        width, height = self._figure.get_size_inches()
        wide = [extent[plane.right] for plane in PLANES]
        tall = max(extent[plane.down] for plane in PLANES)
        room = (_RIGHT - _LEFT - _GAP * len(PLANES)) * width
        inch = min(room / sum(wide), (_TOP - _BOTTOM) * height / tall)
        used = sum(wide) * inch / width + _GAP * (len(PLANES) - 1)
        left = _LEFT + max((_RIGHT - _LEFT - used) / 2, 0)
        places = []
        for plane in PLANES:
            w, h = extent[plane.right] * inch / width, extent[plane.down] * inch / height
            places.append((left, _BOTTOM + (_TOP - _BOTTOM - h) / 2, w, h))
            left += w + _GAP
        return places

    def _one(
        self, plane: Plane, place: tuple[float, float, float, float], low: float, high: float
    ) -> Axes:
        axes = self._figure.add_axes(place)
        axes.imshow(
            self._cut(self._volume.array[0], plane),
            cmap="gray",
            vmin=low,
            vmax=high,
            **self._how(plane),
        )
        axes.set_xticks([])
        axes.set_yticks([])
        mm = self._volume.geometry.world(np.asarray(self._focus, dtype=float))
        axis, letters = _across(self._volume, plane)
        value = mm[axis]
        axes.set_title(f"{plane.name}, {letters[int(value >= 0)]} {abs(value):.1f} mm", fontsize=9)
        self._write_letters(axes, plane)
        return axes

    def _write_letters(self, axes: Axes, plane: Plane) -> None:
        codes = self._volume.geometry.axis_codes
        right, down = codes[2 - plane.right], codes[2 - plane.down]
        top, bottom = (down, _OPPOSITE[down]) if plane.flipped else (_OPPOSITE[down], down)
        for text, place in (
            (_OPPOSITE[right], (0.03, 0.5)),
            (right, (0.97, 0.5)),
            (top, (0.5, 0.96)),
            (bottom, (0.5, 0.04)),
        ):
            axes.text(
                *place,
                text,
                transform=axes.transAxes,
                color="#ffd54a",
                fontsize=9,
                ha="center",
                va="center",
                weight="bold",
            )

    def _cut(self, array: NDArray[Any], plane: Plane) -> NDArray[Any]:
        """Give the plane with its ``down`` axis first."""
        return np.take(array, self._focus[plane.across], axis=plane.across)

    def _how(self, plane: Plane) -> dict[str, Any]:
        spacing = self._volume.geometry.spacing_zyx
        return {
            "origin": "lower" if plane.flipped else "upper",
            "aspect": spacing[plane.down] / spacing[plane.right],
            "interpolation": "nearest",
        }

    def _bar(self, shown: Any, extend: str) -> Colorbar:
        place = (_RIGHT + 0.015, 0.16, 0.014, 0.6)
        bar = self._figure.colorbar(shown, cax=self._figure.add_axes(place), extend=extend)
        bar.ax.tick_params(labelsize=8)
        return bar

    def _legend(self, handles: list[Any], more: str) -> None:
        self._figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(_RIGHT, 0.86),
            fontsize=8,
            frameon=False,
            title=more or None,
            title_fontsize=7.5,
            alignment="left",
        )

    def _seen(self, voxels: NDArray[np.floating]) -> NDArray[np.bool_]:
        shape = np.asarray(self._volume.geometry.shape)
        return np.asarray(((voxels >= -0.5) & (voxels <= shape - 0.5)).all(axis=1))


def _across(volume: Volume, plane: Plane) -> tuple[int, tuple[str, str]]:
    """Give the patient axis that a plane's own place is told on, and its two letters."""
    letter = volume.geometry.axis_codes[2 - plane.across]
    axis = "LR AP SI".replace(" ", "").index(letter) // 2
    return axis, (("R", "L"), ("A", "P"), ("I", "S"))[axis]


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
