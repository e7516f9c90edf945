"""The chest: diaphragm, heart, oesophagus, and the lungs with their vessels and airways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from torso.frame import Frame
from torso.layers import Layer, cover
from torso.shapes import bump, difference, ellipsoid, intersection, locate, step, union
from torso.space import Field, Points, Triple, stream
from torso.tissues import LEFT_LUNG, RIGHT_LUNG
from torso.trees import grow, splat


def aorta_shape(frame: Frame, p: Points) -> Field:
    """Give the signed distance to the descending aorta, left in front of the spine."""
    rng = stream(frame.space.seed, "aorta")
    radius = rng.uniform(10.5, 12.5) - 1.8 * step(-p.z, -60, 110)
    bow = rng.normal(0, 2.0) * np.sin(p.z / 45)
    high = step(p.z, 10, 130)
    x = frame.spine_x(p.z) + 9 + 17 * high + bow
    y = frame.spine_y(p.z) - frame.body_half_depth(p.z) - 11 + 9 * high
    return np.hypot(p.x - x, p.y - y) - radius


def vena_cava_shape(frame: Frame, p: Points) -> Field:
    """Give the signed distance to the lower vena cava, right in front of the spine."""
    rng = stream(frame.space.seed, "vena cava")
    radius = rng.uniform(9.0, 11.0) + 2 * step(p.z, 0, 60)
    x = frame.spine_x(p.z) - 21 - 4 * bump(p.z, 30, 40) + 6 * step(p.z, 60, 95)
    y = frame.spine_y(p.z) - frame.body_half_depth(p.z) - 8 - 13 * step(p.z, 15, 80)
    return np.maximum(np.hypot((p.x - x) / 1.2, p.y - y) - radius, p.z - 100)


def paint_chest(frame: Frame) -> list[Layer]:
    """Paint everything above the diaphragm, and the diaphragm, except aorta and spine."""
    heart = _Heart.of(frame)
    return [
        *_diaphragm(frame),
        *_lungs(frame, heart),
        *heart.paint(frame),
        *_oesophagus(frame),
    ]


def _diaphragm(frame: Frame) -> list[Layer]:
    p = frame.space.within((-140, -110, -60), (140, 100, 110))
    sheet = np.abs(frame.diaphragm[p.box] + 0.5) - 2.0
    sheet = np.maximum(sheet, frame.cavity[p.box])
    return [Layer("diaphragm", p.box, cover(sheet, 3))]


@dataclass(frozen=True)
class _Heart:
    """The heart's outer surface and chambers over one box, as signed distances in mm."""

    points: Points
    sac: Field
    muscle: Field
    left: Field
    right: Field

    @classmethod
    def of(cls, frame: Frame) -> _Heart:
        space = frame.space
        p = space.within((-60, -105, 35), (95, 45, 170))
        rng = stream(space.seed, "heart")
        lift = frame.physique.breath_mm
        at = rng.normal(0, 2.0, 3) + np.array([0.0, 0.0, lift])
        size = rng.uniform(0.94, 1.06)

        def chamber(centre: Triple, radii: Triple, turn: Triple) -> Field:
            place = (centre[0] + at[0], centre[1] + at[1], centre[2] + at[2])
            return ellipsoid(p, place, (size * radii[0], size * radii[1], size * radii[2]), turn)

        tilt = (0.0, 0.0, -38.0)
        left = chamber((36, -32, 92), (22, 38, 30), tilt)
        right = chamber((2, -48, 88), (24, 37, 28), (0.0, 0.0, -55.0))
        atria = union(
            chamber((-24, -18, 108), (21, 27, 33), (0.0, 0.0, 10.0)),
            chamber((4, 6, 122), (28, 19, 24), (0.0, 0.0, 0.0)),
            8,
        )
        outer = union(union(left, right, 10), atria, 10) + 1.2 * space.noise("heart", p, 30)
        above = -(frame.diaphragm[p.box] - 1)
        inside = intersection(outer, above, 6)
        wall = np.maximum(inside, frame.cavity[p.box] + 3)
        left_blood = np.minimum(left + 12, chamber((4, 6, 122), (25, 16, 21), (0, 0, 0)))
        right_blood = np.minimum(right + 4.5, chamber((-24, -18, 108), (19, 25, 31), (0, 0, 10)))
        right_blood = np.maximum(right_blood, 2 - (left + 1))
        return cls(
            p,
            sac=np.maximum(intersection(outer - 5, above - 3, 6), frame.cavity[p.box] + 1),
            muscle=wall,
            left=np.maximum(left_blood, wall + 3),
            right=np.maximum(right_blood, wall + 3),
        )

    def paint(self, frame: Frame) -> list[Layer]:
        box = self.points.box
        grain = 5 * frame.space.noise("myocardium", self.points, 10)
        return [
            Layer("pericardial fat", box, cover(self.sac)),
            Layer("myocardium", box, cover(self.muscle), detail=grain),
            Layer("right heart", box, cover(self.right, 4)),
            Layer("left heart", box, cover(self.left, 4)),
        ]


def _oesophagus(frame: Frame) -> list[Layer]:
    p = frame.space.within((-20, -20, 40), (40, 60, 170))
    y = frame.spine_y(p.z) - frame.body_half_depth(p.z) - 13 - 6 * step(-p.z, -90, -50)
    x = frame.spine_x(p.z) + 2 + 10 * step(-p.z, -90, -50)
    tube = np.maximum(np.hypot((p.x - x) / 1.3, p.y - y) - 6.5, 48 - p.z)
    gas = np.hypot((p.x - x) / 1.6, p.y - y + 1) - 1.3 - 0.9 * np.sin(p.z / 13)
    return [
        Layer("oesophagus", p.box, cover(tube)),
        Layer("gas", p.box, 0.8 * cover(np.maximum(gas, 60 - p.z))),
    ]


def _lungs(frame: Frame, heart: _Heart) -> list[Layer]:
    space = frame.space
    p = space.within((-140, -110, -70), (140, 100, 170))
    middle = _mediastinum(frame, p, heart)
    chest = intersection(frame.cavity[p.box] + 1.5, 1.5 - frame.diaphragm[p.box], 5)
    air = difference(chest, middle, 7) + 0.5 * space.noise("pleura", p, 20)
    texture = 0.45 * p.y + 16 * space.noise("lung ground", p, 30) + 9 * space.noise("acini", p, 8)
    layers = []
    for side, label, name in ((-1, RIGHT_LUNG, "right"), (1, LEFT_LUNG, "left")):
        lung = np.maximum(air, -side * (p.x - 3) + 1)
        layers.append(Layer("lung", p.box, cover(lung), label, detail=texture.astype(np.float32)))
        layers += _branches(frame, p, lung, side, label, name)
    return layers


def _mediastinum(frame: Frame, p: Points, heart: _Heart) -> Field:
    """Give what lies between the lungs, heart included."""
    slab = np.abs(p.x - 4 - 5 * step(-p.y, 20, 70)) - 5 - 7 * bump(p.y, 0, 26)
    spine = np.hypot((p.x - frame.spine_x(p.z)) / 1.3, p.y - frame.spine_y(p.z) - 3) - (
        frame.body_half_depth(p.z) + 3
    )
    arch = np.hypot((p.x - frame.spine_x(p.z)) / 1.5, p.y - 82) - 22
    middle = union(union(slab, spine, 8), arch, 10)
    middle = union(middle, aorta_shape(frame, p) - 2.0, 5)
    middle = union(middle, vena_cava_shape(frame, p) - 2.0, 5)
    for side in (-1, 1):
        hilum = ellipsoid(p, (side * 26 + 4, 10, 124), (15, 14, 22))
        middle = union(middle, hilum, 8)
    whole = np.full(p.x.shape, 200, dtype=np.float32)
    inner = tuple(
        slice(h.start - o.start, h.stop - o.start)
        for h, o in zip(heart.points.box, p.box, strict=True)
    )
    whole[inner] = heart.sac
    return union(middle, whole, 6)


def _branches(
    frame: Frame, p: Points, lung: Field, side: int, label: int, name: str
) -> list[Layer]:
    grid = frame.space.grid
    rng = stream(frame.space.seed, f"{name} lung tree")
    root = tuple(locate(p, np.array([[side * 30 + 4, 10, 126]]), grid)[0].astype(float))
    vessels = splat(grow(rng, lung < -5, root, 520, 10.5), lung.shape, grid.spacing)
    inside = cover(lung + 1)
    airways = grow(rng, lung < -22, root, 26, 5.2)
    wall = splat(airways, lung.shape, grid.spacing, widen=1.45)
    lumen = splat(airways, lung.shape, grid.spacing, widen=0.95)
    thin = (airways.radius < 1.0).all()
    layers = [Layer("lung vessel", p.box, vessels * inside, label)]
    if not thin:
        layers.append(Layer("airway wall", p.box, 0.7 * wall * inside, label))
        layers.append(Layer("airway", p.box, lumen * inside, label))
    return layers
