"""Draw the icons of the 3D Slicer extension: 128 x 128 PNG with transparency.

``python scripts/slicer_icons.py`` writes them into slicer_extension/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXTENSION = Path(__file__).resolve().parents[1] / "slicer_extension"
SIZE = 128
_OVER = 4  # drawn four times as large, then made smaller

Picture = NDArray[np.float64]


def coordinates() -> tuple[Picture, Picture]:
    """Give x and y of every pixel, from -1 to 1."""
    ticks = np.linspace(-1, 1, SIZE * _OVER)
    x, y = np.meshgrid(ticks, ticks)
    return x, y


def blank() -> Picture:
    """Give a transparent picture (height, width, RGBA)."""
    return np.zeros((SIZE * _OVER, SIZE * _OVER, 4))


def paint(picture: Picture, mask: NDArray[np.bool_], colour: str, alpha: float = 1.0) -> None:
    """Lay a colour over a picture where a mask is true."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    old = picture[mask]
    new_alpha = alpha + old[:, 3] * (1 - alpha)
    over = rgb * alpha + old[:, :3] * (old[:, 3] * (1 - alpha))[:, None]
    picture[mask] = np.column_stack((over / np.maximum(new_alpha, 1e-9)[:, None], new_alpha))


def save(picture: Picture, path: Path) -> None:
    """Write a picture, made smaller."""
    image = Image.fromarray((picture * 255).round().astype(np.uint8), "RGBA")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(path, optimize=True)


def module_icon() -> Picture:
    """Draw a body in cross-section, with organs in colour and a network's points on it."""
    x, y = coordinates()
    picture = blank()
    body = (x / 0.96) ** 2 + (y / 0.78) ** 2 < 1
    paint(picture, body, "#3b4654")
    paint(picture, (x / 0.89) ** 2 + (y / 0.71) ** 2 < 1, "#6d7b8d")
    liver = ((x + 0.38) / 0.44) ** 2 + ((y + 0.12) / 0.40) ** 2 < 1
    liver |= ((x + 0.05) / 0.34) ** 2 + ((y + 0.26) / 0.20) ** 2 < 1
    paint(picture, liver, "#d08a4a")
    paint(picture, ((x - 0.55) / 0.20) ** 2 + ((y - 0.02) / 0.32) ** 2 < 1, "#8e5ba6")
    paint(picture, ((x + 0.40) / 0.17) ** 2 + ((y - 0.38) / 0.15) ** 2 < 1, "#e0b23c")
    paint(picture, ((x - 0.36) / 0.17) ** 2 + ((y - 0.40) / 0.15) ** 2 < 1, "#f2d05c")
    paint(picture, ((x - 0.02) / 0.16) ** 2 + ((y - 0.46) / 0.16) ** 2 < 1, "#f1ead3")
    centre = (-0.35, -0.14)
    for angle in np.deg2rad([200, 325, 25, 95, 150]):
        end = (centre[0] + 0.34 * np.cos(angle), centre[1] + 0.30 * np.sin(angle))
        paint(picture, _near_line(x, y, centre, end) < 0.018, "#ffffff", 0.9)
        paint(picture, np.hypot(x - end[0], y - end[1]) < 0.055, "#ffffff")
    paint(picture, np.hypot(x - centre[0], y - centre[1]) < 0.085, "#ffffff")
    paint(picture, np.hypot(x - centre[0], y - centre[1]) < 0.045, "#c0392b")
    return picture


def hippocampus_icon() -> Picture:
    """Draw a bent, two-coloured hippocampus on dark ground."""
    x, y = coordinates()
    picture = blank()
    paint(picture, np.maximum(abs(x), abs(y)) < 0.98, "#20252c")
    bend = y - 0.35 * np.cos(2.2 * x) + 0.2
    width = 0.30 - 0.14 * (x + 0.8)
    shape = (abs(bend) < width) & (abs(x) < 0.78)
    paint(picture, shape & (x < -0.1), "#5570f2")
    paint(picture, shape & (x >= -0.1), "#85cc47")
    return picture


def body_icon() -> Picture:
    """Draw a trunk from the front, with lungs, liver and kidneys."""
    x, y = coordinates()
    picture = blank()
    paint(picture, np.maximum(abs(x), abs(y)) < 0.98, "#20252c")
    paint(picture, (abs(x) < 0.62 - 0.10 * np.cos(3 * y)) & (abs(y) < 0.9), "#6d7b8d")
    for side, colour in ((-1, "#6baed6"), (1, "#9fd8cb")):
        paint(picture, ((x - side * 0.27) / 0.20) ** 2 + ((y + 0.42) / 0.36) ** 2 < 1, colour)
        paint(picture, ((x - side * 0.26) / 0.10) ** 2 + ((y - 0.46) / 0.17) ** 2 < 1, "#e0a030")
    paint(picture, ((x + 0.16) / 0.32) ** 2 + ((y - 0.10) / 0.18) ** 2 < 1, "#a0523d")
    paint(picture, ((x - 0.34) / 0.11) ** 2 + ((y - 0.12) / 0.15) ** 2 < 1, "#8e5ba6")
    return picture


def _near_line(
    x: Picture, y: Picture, start: tuple[float, float], end: tuple[float, float]
) -> Picture:
    """Give every pixel's distance to a line between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)
    along = np.clip(along, 0, 1)
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


def main() -> None:
    """Draw all."""
    icons = EXTENSION / "HybridSeg" / "Resources" / "Icons"
    save(module_icon(), EXTENSION / "HybridSeg.png")
    save(module_icon(), icons / "HybridSeg.png")
    save(hippocampus_icon(), icons / "HybridSegHippocampus.png")
    save(body_icon(), icons / "HybridSegBodyCT.png")


if __name__ == "__main__":
    main()
