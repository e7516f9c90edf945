"""The gut: stomach, pancreas with duodenum, small bowel and colon, and their vessels."""

from __future__ import annotations

import numpy as np

from torso.frame import Frame
from torso.layers import Layer, cover
from torso.shapes import ball_chain, curve, distance_to_line, intersection
from torso.space import Field, Points, stream
from torso.tissues import STOMACH
from torso.trees import grow, splat


def paint_stomach(frame: Frame) -> list[Layer]:
    """Paint the stomach: wall, a meal, and a gas bubble with a level in front."""
    space = frame.space
    p = space.within((-45, -110, -85), (120, 70, 95))
    rng = stream(space.seed, "stomach")
    shape = _stomach_shape(frame, p, rng)
    folds = np.clip(space.noise("rugae", p, 9), -1, 1.5)
    lumen = shape + 3.8 + 0.9 * folds
    meal = 9 * space.noise("meal", p, 7) + 12 * space.noise("chyme", p, 18)
    level = rng.uniform(-52, -38)
    gas = np.maximum(lumen + 0.5, _world_y(frame, p) - level)
    return [
        Layer("stomach wall", p.box, cover(shape), STOMACH),
        Layer("stomach content", p.box, cover(lumen), STOMACH, detail=meal),
        Layer("gas", p.box, cover(gas), STOMACH),
    ]


def _stomach_shape(frame: Frame, p: Points, rng: np.random.Generator) -> Field:
    sag = rng.uniform(-14, 10)
    full = rng.uniform(0.86, 1.12)
    lift = 0.8 * frame.physique.breath_mm
    way = [
        (60, 18, 46 + lift),
        (64, -4, 28 + lift),
        (62, -32, -2 + 0.5 * sag),
        (44, -52, -28 + sag),
        (12, -56, -34 + sag),
        (-20, -38, -18 + 0.4 * sag),
    ]
    line = curve([tuple(np.add(w, rng.normal(0, 3, 3))) for w in way], 9.0)
    share = np.linspace(0, 1, len(line))
    radii = full * np.interp(share, [0, 0.2, 0.45, 0.7, 0.88, 1], [32, 36, 31, 23, 17, 9])
    shape = ball_chain(p, line, radii, 8) + 1.8 * frame.space.noise("stomach", p, 24)
    shape = intersection(shape, frame.cavity[p.box] + 3, 8)
    return intersection(shape, frame.diaphragm[p.box] + 3.5, 6)


def _world_y(frame: Frame, p: Points) -> Field:
    y = frame.space.grid.axis(1, p.box[1])[None, :, None]
    return np.broadcast_to(y, p.x.shape)


def paint_pancreas(frame: Frame) -> list[Layer]:
    """Paint the pancreas from the duodenum to the spleen, and the duodenum."""
    space = frame.space
    p = space.within((-65, -60, -95), (95, 50, 40))
    rng = stream(space.seed, "pancreas")
    shake = rng.normal(0, 2, (5, 3))
    way = np.array([(-30, -14, -32), (-18, -22, -14), (8, -24, -2), (40, -8, 6), (72, 20, 10)])
    line = curve([tuple(w) for w in way + shake], 1.0)
    lobules = 2.6 * space.noise("pancreas", p, 10)
    gland = distance_to_line(p, line, space.grid) - 9.5 + lobules
    loop = curve([(-24, -36, -14), (-44, -20, -22), (-44, -8, -58), (-20, -4, -76), (14, -8, -70)])
    duodenum = distance_to_line(p, loop, space.grid) - 11.5
    grain = 12 * space.noise("pancreas grain", p, 7)
    return [
        Layer("bowel wall", p.box, cover(duodenum)),
        Layer("bowel content", p.box, cover(duodenum + 3.5, 3)),
        Layer("pancreas", p.box, cover(gland, 3), detail=grain),
    ]


def paint_bowel(frame: Frame) -> list[Layer]:
    """Paint mesenteric vessels, the small bowel's loops and the colon."""
    space = frame.space
    p = space.within((-118, -105, -152), (118, 60, 5))
    room = frame.cavity[p.box] < -18
    room &= (p.z < -32) & (p.y < 10) & (np.abs(p.x) < 84)
    return [*_mesentery(frame, p, room), *_small_bowel(frame, p), *_colon(frame)]


def _mesentery(frame: Frame, p: Points, room: np.ndarray) -> list[Layer]:
    rng = stream(frame.space.seed, "mesentery")
    root = tuple(np.argwhere(room).mean(axis=0) + np.array([10, 12, 0]))
    vessels = splat(grow(rng, room, root, 160, 4.5), p.x.shape, frame.space.grid.spacing)
    return [Layer("mesenteric vessel", p.box, vessels)]


def _small_bowel(frame: Frame, p: Points) -> list[Layer]:
    space = frame.space
    rng = stream(space.seed, "small bowel")
    rows = []
    for row, y in enumerate((-62.0, -36.0, -12.0)):
        for turn, z in enumerate(np.arange(-62, -165, -27.0)):
            side = 1 if (row + turn) % 2 else -1
            width = 58 - 10 * row
            rows += [(side * width * s, y + 7 * (turn % 2), z) for s in (-1.0, -0.33, 0.33, 1.0)]
    way = np.array(rows) + rng.normal(0, 1, (len(rows), 3)) * (9, 6, 7)
    line = curve([tuple(w) for w in way], 1.0)
    radius = 11.5 + 1.6 * space.noise("small bowel", p, 22)
    tube = distance_to_line(p, line, space.grid) - radius
    tube = np.maximum(tube, frame.cavity[p.box] + 5)
    lumen = tube + 3.2 + 0.8 * space.noise("plicae", p, 5)
    gas = np.maximum(lumen + 2.0, 1.6 - space.noise("bowel gas", p, 24))
    gas = np.maximum(gas, p.y + 30)
    feed = 10 * space.noise("bowel content", p, 14)
    return [
        Layer("bowel wall", p.box, cover(tube)),
        Layer("bowel content", p.box, cover(lumen, 3), detail=feed),
        Layer("gas", p.box, cover(gas, 3)),
    ]


def _colon(frame: Frame) -> list[Layer]:
    space = frame.space
    p = space.within((-135, -110, -152), (135, 85, 35))
    rng = stream(space.seed, "colon")
    sag = rng.uniform(-14, 10)
    way = [
        (-92, 22, -175),
        (-93, 22, -120),
        (-92, 14, -84),
        (-76, -30, -70),
        (-44, -66, -66 + sag),
        (4, -74, -70 + sag),
        (54, -68, -56 + 0.5 * sag),
        (90, -34, -34),
        (101, 14, -24),
        (99, 38, -62),
        (95, 38, -110),
        (90, 34, -175),
    ]
    line = curve([tuple(np.add(w, rng.normal(0, 3, 3))) for w in way], 1.0)
    haustra = 2.6 * space.noise("haustra", p, 14)
    tube = distance_to_line(p, line, space.grid) - 16 + haustra
    tube = np.maximum(tube, frame.cavity[p.box] + 3)
    lumen = tube + 2.8
    front = np.maximum(p.y + 52, space.noise("colon gas", p, 40) * 6 - 4)
    bubbles = np.maximum(lumen + 2, 3 * (1.15 - space.noise("stool gas", p, 7)))
    gas = np.minimum(np.maximum(lumen + 0.5, front), bubbles)
    mottle = 28 * space.noise("stool", p, 6)
    return [
        Layer("colon wall", p.box, cover(tube)),
        Layer("stool", p.box, cover(lumen), detail=mottle),
        Layer("gas", p.box, cover(gas, 3)),
    ]
