"""The upper abdomen's solid organs and great vessels."""

from __future__ import annotations

import numpy as np

from torso.chest import aorta_shape, vena_cava_shape
from torso.frame import Frame
from torso.layers import Layer, cover
from torso.shapes import (
    ball_chain,
    curve,
    difference,
    distance_to_line,
    ellipsoid,
    intersection,
    locate,
    union,
)
from torso.space import Field, Points, Triple, stream
from torso.tissues import AORTA, LEFT_KIDNEY, LIVER, RIGHT_KIDNEY, SPLEEN
from torso.trees import grow, splat


def paint_liver(frame: Frame) -> list[Layer]:
    """Paint the liver with its portal and hepatic veins, and the gallbladder."""
    space = frame.space
    p = space.within((-140, -110, -90), (75, 90, 105))
    rng = stream(space.seed, "liver")
    shape = _liver_shape(frame, p, rng)
    grain = 5 * space.noise("liver grain", p, 7) + 3 * space.noise("liver zones", p, 40)
    deep = shape < -6
    grid = space.grid
    porta, caval = locate(p, np.array([[-22, -12, 12], [-24, 12, 62]]), grid).astype(float)
    portal = splat(grow(rng, deep, tuple(porta), 55, 8.0), shape.shape, grid.spacing)
    veins = splat(grow(rng, deep, tuple(caval), 40, 7.5), shape.shape, grid.spacing)
    inside = cover(shape + 2)
    bile = _gallbladder(frame, p, rng)
    return [
        Layer("liver", p.box, cover(shape), LIVER, detail=grain),
        Layer("hepatic vein", p.box, veins * inside, LIVER),
        Layer("portal vein", p.box, portal * inside, LIVER),
        Layer("mesenteric vessel", p.box, 0.6 * cover(bile - 1.2)),
        Layer("gallbladder", p.box, cover(bile + 0.6)),
    ]


def _liver_shape(frame: Frame, p: Points, rng: np.random.Generator) -> Field:
    """Fill the right dome, thin out to the left, end below at a sloping edge."""
    grow_by = rng.uniform(-5, 5)
    tip = rng.uniform(-84, -56)
    reach = rng.uniform(-12, 14)
    right = ellipsoid(p, (-64, 0, 14), (74 + grow_by, 92, 86 + grow_by), (0, 10, 0))
    left = ellipsoid(p, (-6 + reach, -46, 38), (64, 34, 30), (0, -8, 10))
    whole = union(right, left, 16)
    under = tip + 0.54 * (p.x + 118) + 0.30 * (p.y + 10) - p.z
    under = under + 5 * frame.space.noise("liver under", p, 45)
    whole = intersection(whole, under * 0.85, 12)
    whole = intersection(whole, frame.cavity[p.box] + 1.0, 8)
    whole = intersection(whole, frame.diaphragm[p.box] + 1.5, 4)
    behind = p.y - 26 - 0.03 * np.clip(-p.x - 20, 0, None) ** 2 + 0.5 * np.clip(p.x + 20, 0, None)
    whole = intersection(whole, 0.6 * behind, 10)
    medial = ellipsoid(p, (22, 22, 30), (46, 48, 90))
    whole = difference(whole, medial, 12)
    cleft = np.hypot((p.x + 14) / 0.5, p.z + 4) - 15 + 0.6 * np.abs(p.y + 55)
    whole = difference(whole, cleft, 6)
    return whole + 2.0 * frame.space.noise("liver", p, 32)


def _gallbladder(frame: Frame, p: Points, rng: np.random.Generator) -> Field:
    full = rng.uniform(0.8, 1.25)
    at = rng.normal(0, 3, 3)
    line = curve([(-36, -14, 2), (-46, -36, -12), (-52, -56, -26)], 6.0) + at
    radii = np.linspace(6, 14, len(line)) * full
    shape = ball_chain(p, line, radii, 4)
    return np.maximum(shape, frame.cavity[p.box] + 4)


def paint_spleen(frame: Frame) -> list[Layer]:
    """Paint the spleen: a crescent between the left wall, the stomach and the kidney."""
    space = frame.space
    p = space.within((25, -50, -75), (140, 100, 95))
    rng = stream(space.seed, "spleen")
    at = rng.normal(0, 1, 3) * (3, 5, 6)
    size = rng.uniform(0.92, 1.18)
    radii = (38 * size, 58 * size, 58 * size)
    centre = (89 + at[0], 38 + at[1], 16 + at[2])
    whole = ellipsoid(p, centre, radii, (-28, 0, 22 + rng.normal(0, 6)))
    hilum = ellipsoid(p, (42, 4 + at[1], 4 + at[2]), (40, 48, 64), (-20, 0, 15))
    whole = difference(whole, hilum, 9)
    whole = intersection(whole, frame.cavity[p.box] + 2, 8)
    whole = intersection(whole, frame.diaphragm[p.box] + 2.5, 5)
    whole = whole + 1.8 * space.noise("spleen", p, 26)
    grain = 4 * space.noise("spleen grain", p, 8)
    return [Layer("spleen", p.box, cover(whole), SPLEEN, detail=grain)]


def kidney_place(frame: Frame, side: int) -> tuple[Triple, float]:
    """Give a kidney's centre and size factor; side is -1 for the right, 1 for the left."""
    rng = stream(frame.space.seed, f"kidney {side}")
    shift = rng.normal(0, 1, 3) * (2.5, 2.0, 6.0)
    height = -36.0 if side > 0 else -52.0
    lift = 0.6 * frame.physique.breath_mm
    centre = (side * 58 + shift[0], 40 + shift[1], height + shift[2] + lift)
    return centre, float(rng.uniform(0.9, 1.1))


def _kidney_points(frame: Frame, side: int) -> Points:
    (x, y, z), _ = kidney_place(frame, side)
    return frame.space.within((x - 52, y - 48, z - 72), (x + 52, y + 48, z + 72))


def _kidney_shape(frame: Frame, p: Points, side: int) -> tuple[Field, Field]:
    """Give the bean and its hilum; the upper pole leans to the spine and to the back."""
    centre, size = kidney_place(frame, side)
    bent = Points(p.box, p.x - side * 0.0045 * (p.z - centre[2]) ** 2, p.y, p.z)
    radii = (29 * size, 25 * size, 54 * size)
    lean = (-10.0, side * -14.0, side * 24.0)
    bean = ellipsoid(bent, (centre[0] - side * 3, *centre[1:]), radii, lean)
    gap = (centre[0] - side * 21, centre[1] - 8, centre[2])
    hilum = ellipsoid(p, gap, (19 * size, 9 * size, 21 * size), (0, 0, side * 24.0))
    bean = bean + 1.1 * frame.space.noise(f"kidney {side}", p, 20)
    return bean, hilum


def paint_perirenal_fat(frame: Frame) -> list[Layer]:
    """Paint the fat that keeps other things away from the kidneys."""
    layers = []
    for side in (-1, 1):
        p = _kidney_points(frame, side)
        bean, _ = _kidney_shape(frame, p, side)
        halo = np.maximum(bean - 8, frame.cavity[p.box])
        strands = 8 * frame.space.noise(f"perirenal {side}", p, 8)
        layers.append(Layer("perirenal fat", p.box, cover(halo, 3), detail=strands))
        gland = ellipsoid(p, *_adrenal(frame, side))
        layers.append(Layer("adrenal", p.box, cover(gland)))
    return layers


def _adrenal(frame: Frame, side: int) -> tuple[Triple, Triple, Triple]:
    (x, y, z), size = kidney_place(frame, side)
    return (x - side * 24, y - 4, z + 47 * size), (4.0, 13.0, 12.0), (0.0, 0.0, side * -25.0)


def paint_kidneys(frame: Frame) -> list[Layer]:
    """Paint both kidneys: cortex, medulla, and the sinus with fat and pelvis."""
    layers = []
    for side, label in ((-1, RIGHT_KIDNEY), (1, LEFT_KIDNEY)):
        p = _kidney_points(frame, side)
        bean, hilum = _kidney_shape(frame, p, side)
        columns = 5.5 * frame.space.noise(f"pyramids {side}", p, 11)
        medulla = np.maximum(bean + 7.0 + np.clip(columns, -1.5, 9), -(hilum - 1))
        pelvis = np.maximum(hilum + 4.5 + columns, bean - 14)
        layers += [
            Layer("renal cortex", p.box, cover(bean), label),
            Layer("renal medulla", p.box, cover(medulla, 3), label),
            Layer("renal sinus", p.box, cover(hilum, 3)),
            Layer("renal pelvis", p.box, cover(pelvis, 3)),
        ]
    return layers


def paint_great_vessels(frame: Frame) -> list[Layer]:
    """Paint vena cava, renal vessels, the gut's artery, and the aorta."""
    space = frame.space
    p = space.within((-70, -60, -152), (75, 70, 170))
    layers = []
    for side in (-1, 1):
        (x, y, z), _ = kidney_place(frame, side)
        start = (-16.0 if side < 0 else 8.0, 4.0, z + 8)
        vein = curve([start, (start[0] + side * 12, 4, z + 5), (x - side * 22, y - 10, z)])
        layers.append(_tube(frame, p, "vena cava", vein, 4.2))
        artery = curve([(8, 8, z + 4), (side * 22, 14, z + 2), (x - side * 20, y - 5, z - 4)])
        layers.append(_tube(frame, p, "artery", artery, 2.4))
    gut = curve([(8, 6, -12), (6, -10, -20), (4, -14, -60), (-4, -22, -100)])
    vein = curve([(-24, -14, 12), (-10, -16, -4), (-6, -18, -50), (-14, -26, -100)])
    coeliac = curve([(9, 8, 4), (7, -8, 6), (-10, -14, 10), (-28, -16, 14)])
    splenic = curve([(-8, -14, -2), (20, -10, 4), (50, 8, 8), (72, 24, 10)])
    layers += [
        _tube(frame, p, "portal vein", vein, 5.0),
        _tube(frame, p, "portal vein", splenic, 4.0),
        _tube(frame, p, "artery", gut, 3.6),
        _tube(frame, p, "artery", coeliac, 2.8),
        Layer("vena cava", p.box, cover(vena_cava_shape(frame, p))),
        Layer("aorta", p.box, cover(aorta_shape(frame, p)), AORTA),
    ]
    return layers


def _tube(frame: Frame, p: Points, tissue: str, line: np.ndarray, radius: float) -> Layer:
    low, high = line.min(axis=0) - 8, line.max(axis=0) + 8
    part = frame.space.within(tuple(low), tuple(high))
    return Layer(
        tissue, part.box, cover(distance_to_line(part, line, frame.space.grid) - radius, 3)
    )
