"""Charts keep their words apart, whatever the room that a dock gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from explain_support import noise, run

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain.products import Bars, Matrix

pytest.importorskip("matplotlib")

ORGANS = ("background", "anterior hippocampus", "posterior hippocampus")
MANY = (*ORGANS, "spleen", "liver", "left adrenal gland")
PROVENANCE = "hippocampus-medformer-3d · Tokens and organs · up2.0 · hippocampus_004 · a version"
UNIT = "times the organ's share of the volume"


def matrix(columns: tuple[str, ...], rows: int = 36) -> Matrix:
    values = np.linspace(0, 2, rows * len(columns), dtype=np.float32).reshape(rows, -1)
    names = tuple(map(str, range(rows)))
    title = "medformer-3d, Decoder, up2 (1/4), block 0, attention by organ"
    return Matrix(values, names, columns, title, "semantic token", "predicted organ", UNIT)


def bars(count: int = 36) -> Bars:
    values = np.linspace(0, 1, count, dtype=np.float32)
    return Bars(values, tuple(map(str, range(count))), "tokens", "semantic token", UNIT, 1 / count)


def words(figure: Any) -> Iterator[Any]:
    """Give title, provenance and the names of all axes."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (t for t in (axes.xaxis.label, axes.yaxis.label) if t.get_text())


@pytest.mark.parametrize("size", [(10, 2.6), (9.9, 3.5), (14, 6), (7, 2.6)])
@pytest.mark.parametrize("product", [matrix(ORGANS), matrix(MANY), matrix(MANY, 4), bars()])
def test_no_words_of_a_chart_touch(
    small: Callable[[str], Checkpoint], size: tuple[float, float], product: Matrix | Bars
) -> None:
    from napari_hybridseg.explain.figures import draw_panel, panel_figure

    volume = noise((8, 8, 8))
    found = replace(run(volume, small("unet"), "margin"), provenance=PROVENANCE)
    figure = panel_figure(volume, found, product, size_inches=(10, 4))
    figure.set_size_inches(*size)
    draw_panel(figure, volume, found, product, keeps_size=True)
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(figure)]
    assert {PROVENANCE, "semantic token"} <= {text.replace("\n", " ") for text, _ in boxes}
    for (one, box), (other, another) in combinations(boxes, 2):
        assert not box.overlaps(another), f"{one!r} touches {other!r}"
    ticks = [t for axes in figure.axes for t in axes.get_xticklabels() if t.get_text()]
    title, bottom = figure.axes[0].xaxis.label.get_window_extent(), figure.bbox
    assert ticks
    for tick in ticks:
        box = tick.get_window_extent()
        assert not box.overlaps(title), tick
        assert box.y0 >= bottom.y0
    if isinstance(product, Matrix):
        colour_bar = figure.axes[1]
        assert UNIT in colour_bar.get_ylabel().replace("\n", " ")
        assert len([t for t in colour_bar.get_yticklabels() if t.get_text()]) > 1
