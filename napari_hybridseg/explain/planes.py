"""Three planes of a volume, and letters for what is where."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
_TOP, _BOTTOM, _RIGHT, _LEFT, _GAP = 0.84, 0.1, 0.86, 0.02, 0.035


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

    Attributes
    ----------
    axes : list of Axes
        Of axial, coronal and sagittal, in the order of ``PLANES``, in voxels.
    """

    def __init__(self, figure: Figure, volume: Volume, focus: tuple[int, int, int]) -> None:
        self.figure = figure
        self.volume = volume
        self.focus = focus
        low, high = np.percentile(volume.array[0], (1, 99))
        self.axes = [
            self._one(plane, place, float(low), float(high if high > low else low + 1))
            for plane, place in zip(PLANES, self._places(), strict=True)
        ]

    def title(self, text: str) -> None:
        """Say what is shown."""
        self.figure.text(0.01, 0.965, shorten(text, 150), fontsize=11, va="top")

    def _places(self) -> list[tuple[float, float, float, float]]:
        """Share the width out, so that millimetres have one length in all three planes."""
        extent = np.asarray(self.volume.geometry.shape) * self.volume.geometry.spacing_zyx
        width, height = self.figure.get_size_inches()
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
        axes = self.figure.add_axes(place)
        axes.imshow(
            self.cut(self.volume.array[0], plane),
            cmap="gray",
            vmin=low,
            vmax=high,
            **self.how(plane),
        )
        axes.set_xticks([])
        axes.set_yticks([])
        mm = self.volume.geometry.world(np.asarray(self.focus, dtype=float))
        axis, letters = _across(self.volume, plane)
        value = mm[axis]
        axes.set_title(f"{plane.name}, {letters[int(value >= 0)]} {abs(value):.1f} mm", fontsize=9)
        self._write_letters(axes, plane)
        return axes

    def _write_letters(self, axes: Axes, plane: Plane) -> None:
        codes = self.volume.geometry.axis_codes
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

    def cut(self, array: NDArray[Any], plane: Plane) -> NDArray[Any]:
        """Give the plane with its ``down`` axis first."""
        return np.take(array, self.focus[plane.across], axis=plane.across)

    def how(self, plane: Plane) -> dict[str, Any]:
        """Give what ``imshow`` has to be told for a plane."""
        spacing = self.volume.geometry.spacing_zyx
        return {
            "origin": "lower" if plane.flipped else "upper",
            "aspect": spacing[plane.down] / spacing[plane.right],
            "interpolation": "nearest",
        }

    def bar(self, shown: Any, extend: str) -> Colorbar:
        """Add the colour bar of what is shown."""
        place = (_RIGHT + 0.015, 0.16, 0.014, 0.6)
        bar = self.figure.colorbar(shown, cax=self.figure.add_axes(place), extend=extend)
        bar.ax.tick_params(labelsize=8)
        return bar

    def legend(self, handles: list[Any], more: str) -> None:
        """List colours and shapes beside the planes."""
        self.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(_RIGHT, 0.86),
            fontsize=8,
            frameon=False,
            title=more or None,
            title_fontsize=7.5,
            alignment="left",
        )


def _across(volume: Volume, plane: Plane) -> tuple[int, tuple[str, str]]:
    """Give the patient axis that a plane's own place is told on, and its two letters."""
    letter = volume.geometry.axis_codes[2 - plane.across]
    axis = "LR AP SI".replace(" ", "").index(letter) // 2
    return axis, (("R", "L"), ("A", "P"), ("I", "S"))[axis]
