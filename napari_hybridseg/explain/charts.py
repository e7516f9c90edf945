"""Charts of numbers: bars, and matrices as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_hybridseg.explain.products import Bars, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMES = 40
_MOST_NUMBERS = 60
_NAME_INCHES = 0.13
_LETTER_INCHES = 0.048
_MOST_LETTERS = 60
_LEAST_PART = 0.05


def draw_bars(figure: Figure, bars: Bars) -> None:
    """Draw a bar for each name, and a line where each would be if all were alike."""
    width, height = figure.get_size_inches()
    bottom = 0.62 / height
    tall = max(1 - bottom - 0.5 / height, _LEAST_PART)
    axes = figure.add_axes((0.75 / width, bottom, 0.97 - 0.75 / width, tall))
    axes.bar(np.arange(len(bars.values)), bars.values, color="#3b6ea5", width=0.8)
    if bars.even is not None:
        axes.axhline(bars.even, color="#c44e52", linewidth=1, linestyle="--")
        axes.annotate(
            f"all alike: {bars.even:.3g}",
            (1, bars.even),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color="#c44e52",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )
    best = int(np.argmax(bars.values))
    axes.annotate(
        f"{bars.values[best]:.3g}",
        (best, bars.values[best]),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=7.5,
    )
    axes.set_ylim(top=float(max(bars.values[best], bars.even or 0)) * 1.12 or 1)
    _name_axis(figure, axes, "x", bars.names)
    axes.set_xlim(-0.7, len(bars.values) - 0.3)
    axes.set_xlabel(bars.name_title, fontsize=9)
    axes.set_ylabel(_wrapped(bars.unit, max(int(tall * height * 13), 12)), fontsize=9)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    title = _wrapped(bars.title, int(width * 12.5))
    figure.text(0.01, 1 - 0.08 / height, title, fontsize=10, va="top")


def draw_matrix(figure: Figure, matrix: Matrix, *, keeps_size: bool = False) -> None:
    """Draw a matrix as a picture with a colour bar; few numbers are written out.

    The figure takes the size that suits the matrix, unless it ``keeps_size``.
    """
    rows, columns = matrix.values.shape
    if not keeps_size:
        figure.set_size_inches(*_size(rows, columns))
    width, height = figure.get_size_inches()
    left = (0.75 + 0.075 * min(max(map(len, matrix.rows)), 22)) / width
    is_upright = _is_upright(matrix.columns)
    # in a low dock names are cut, so that something is left of the matrix
    letters = int(min(1.4, 0.25 * height) / _LETTER_INCHES) if is_upright else _MOST_LETTERS
    columns_named = [_cut(name, letters) for name in matrix.columns]
    names = _LETTER_INCHES * max(map(len, columns_named)) if is_upright else 0.0
    bottom = (0.68 + names) / height
    wide, tall = 0.97 - left - 1.1 / width, 1 - bottom - 0.5 / height
    axes = figure.add_axes((left, bottom, max(wide, _LEAST_PART), max(tall, _LEAST_PART)))
    low, high = _range(matrix)
    colours = "RdBu_r" if matrix.scale == "diverging" else "viridis"
    picture = axes.imshow(
        matrix.values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    _name_axis(figure, axes, "x", columns_named)
    _name_axis(figure, axes, "y", matrix.rows)
    axes.tick_params(labelsize=7.5)
    axes.set_xlabel(matrix.column_title, fontsize=9)
    axes.set_ylabel(_wrapped(matrix.row_title, max(int(tall * height * 12), 8)), fontsize=9)
    if rows * columns <= _MOST_NUMBERS:
        _write_numbers(axes, matrix, low, high)
    bar = figure.colorbar(picture, cax=figure.add_axes(_beside(axes, width)))
    bar.ax.tick_params(labelsize=7.5)
    bar.set_label(_wrapped(matrix.unit, max(int(tall * height * 13), 12)), fontsize=8.5)
    title = _wrapped(matrix.title, int(width * 12.5))
    figure.text(0.01, 1 - 0.08 / height, title, fontsize=10, va="top")


def _size(rows: int, columns: int) -> tuple[float, float]:
    width = float(np.clip(columns * 0.28 + 3.4, 7.4, 11))
    return width, float(np.clip(rows * 0.2 + 2.0, 4.0, 9.0))


def _beside(axes: Axes, width: float) -> tuple[float, float, float, float]:
    place = axes.get_position()
    return place.x1 + 0.15 / width, place.y0, 0.16 / width, place.height


def _range(matrix: Matrix) -> tuple[float, float]:
    if matrix.limits is not None:
        return matrix.limits
    high = float(np.nanmax(matrix.values))
    if matrix.scale == "diverging":
        most = max(abs(float(np.nanmin(matrix.values))), abs(high)) or 1.0
        return -most, most
    return 0.0, high or 1.0


def _write_numbers(axes: Axes, matrix: Matrix, low: float, high: float) -> None:
    for (row, column), value in np.ndenumerate(matrix.values):
        part = (value - low) / (high - low)
        light = abs(part - 0.5) < 0.35 if matrix.scale == "diverging" else part > 0.6
        axes.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="black" if light else "white",
        )


def _name_axis(figure: Figure, axes: Axes, which: str, names: Sequence[str]) -> None:
    """Name every place, or every few where there are many or little room."""
    place, (width, height) = axes.get_position(), figure.get_size_inches()
    room = place.width * width if which == "x" else place.height * height
    most = min(_MOST_NAMES, int(room / _NAME_INCHES))
    step = -(-len(names) // max(most, 1))
    places = range(0, len(names), step)
    shown = [names[place] for place in places]
    if which == "x":
        upright = _is_upright(names)
        axes.set_xticks(
            places, shown, rotation=60 if upright else 0, ha="right" if upright else "center"
        )
        if upright:
            for label in axes.get_xticklabels():
                label.set_rotation_mode("anchor")
    else:
        axes.set_yticks(places, shown)


def _is_upright(names: Sequence[str]) -> bool:
    return max(map(len, names)) > 3 and len(names) > 4


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"


def _wrapped(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text, width)
