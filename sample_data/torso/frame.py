"""The frame that all organs hang in: body surface, wall, cavity, spine axis and diaphragm.

Lengths are those of an average adult lying on the back; z = 0 is level with the lower edge of
the twelfth thoracic vertebra.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from torso.shapes import bump, difference, ellipsoid, step, union
from torso.space import Field, Points, Space, stream

VERTEBRA_PITCH_MM = 29.0
FIRST_VERTEBRA_MM = 4.0
BODY_HALF_WIDTH_MM = 149.0
BODY_HALF_DEPTH_MM = 109.0


@dataclass(frozen=True)
class Physique:
    """What a patient is built like, drawn once.

    Attributes
    ----------
    fat_mm : float
        Thickness of the fat under the skin at the flank.
    muscle : float
        Factor on the thickness of the wall's muscles.
    breath_mm : float
        How far the diaphragm stands above its average height.
    curve_mm : float
        Sideways bend of the spine.
    """

    fat_mm: float
    muscle: float
    breath_mm: float
    curve_mm: float


@dataclass(frozen=True)
class Frame:
    """Fields over the whole grid that the organs are fitted to; see `make_frame`.

    Attributes
    ----------
    space : Space
        The patient's space.
    physique : Physique
        The patient's build.
    body, wall, cavity : ndarray
        Signed distances in mm to the skin's, the muscle wall's and the trunk cavity's surface.
    diaphragm : ndarray
        Height in mm above (negative: below) the diaphragm.
    """

    space: Space
    physique: Physique
    body: Field = field(repr=False)
    wall: Field = field(repr=False)
    cavity: Field = field(repr=False)
    diaphragm: Field = field(repr=False)

    def spine_x(self, z: Field) -> Field:
        """Give the sideways position of the vertebral axis at height z, in mm."""
        return self.physique.curve_mm * np.sin(z / 70.0)

    def spine_y(self, z: Field) -> Field:
        """Give the vertebral body's centre (y, mm): thoracic kyphosis, lumbar lordosis."""
        return 38.0 + 9.0 * step(z, 0, 150) - 10.0 * step(-z, 0, 120)

    def body_half_depth(self, z: Field) -> Field:
        """Give half the vertebral body's depth in mm; lumbar bodies are larger."""
        return 16.5 - 1.5 * step(z, -60, 120) + 1.0 * step(-z, 0, 120)


def draw_physique(seed: int) -> Physique:
    """Draw a patient's build."""
    rng = stream(seed, "physique")
    return Physique(
        fat_mm=float(rng.uniform(7, 19)),
        muscle=float(rng.uniform(0.85, 1.2)),
        breath_mm=float(rng.uniform(-9, 9)),
        curve_mm=float(rng.normal(0, 2.5)),
    )


def make_frame(space: Space) -> Frame:
    """Fit body surface, wall, cavity and diaphragm to a patient."""
    physique = draw_physique(space.seed)
    p = space.points
    body = _body(space, p)
    wall = body + _fat_thickness(space, p, physique)
    cavity: Field = wall + _wall_thickness(space, p, physique)
    for side in (-1, 1):
        back = ellipsoid(p, (side * 27, 84, 0), (31, 22, 900))
        cavity = difference(cavity, back, 6)
    above = p.z - _diaphragm_height(space, p, physique)
    fields = (f.astype(np.float32) for f in (body, wall, cavity, above))
    return Frame(space, physique, *fields)


def _body(space: Space, p: Points) -> Field:
    width = BODY_HALF_WIDTH_MM - 7 * bump(p.z, -25, 45) + 3 * step(-p.z, 50, 140)
    depth = BODY_HALF_DEPTH_MM - 7 * step(-p.z, -40, 70) + 2 * step(p.z, 60, 140)
    flat = np.where(p.y > 0, 2.35, 2.15)
    q = ((np.abs(p.x) / width) ** flat + (np.abs(p.y) / depth) ** flat) ** (1 / flat) + 1e-3
    surface = np.hypot(p.x, p.y) * (1 - 1 / q)
    groove = 7 * bump(p.x, 0, 15) * step(p.y, 40, 90)
    breastbone = 4 * bump(p.x, 0, 22) * step(-p.y, 40, 90) * step(p.z, 20, 80)
    return surface + groove + breastbone + 1.6 * space.noise("skin", p, 60)


def _fat_thickness(space: Space, p: Points, physique: Physique) -> Field:
    low = step(-p.z, -40, 90)
    flank = step(p.y, -20, 60) * step(np.abs(p.x), 40, 100)
    share = 0.62 + 0.38 * low + 0.45 * low * flank + 0.25 * low * step(-p.y, 40, 100)
    share = share * (1 - 0.45 * bump(p.x, 0, 18) * step(p.y, 30, 80))
    return np.clip(physique.fat_mm * share + 1.3 * space.noise("fat", p, 35), 4, None)


def _wall_thickness(space: Space, p: Points, physique: Physique) -> Field:
    chest = step(p.z, -10, 70)
    front = step(-p.y, 20, 70)
    seams = 0.35 * bump(np.abs(p.x), 66, 9) + 0.6 * bump(p.x, 0, 4)
    belly = 12.5 * (1 - front * seams)
    ribs = 16.0 + 5.0 * step(p.y, -30, 30)
    thickness = belly + chest * (ribs - belly)
    return np.clip(physique.muscle * thickness + 0.8 * space.noise("wall", p, 25), 4, None)


def _diaphragm_height(space: Space, p: Points, physique: Physique) -> Field:
    top = physique.breath_mm + 2.5 * space.noise("diaphragm", p, 55)
    right = _dome(p, -64, -6, 70, 92)
    left = _dome(p, 68, -4, 68, 90)
    saddle = 50 - 0.010 * (p.x - 5) ** 2 - 0.012 * (p.y + 25) ** 2
    domes = -union(-(72 + right), -(59 + left), 18)
    return -union(-domes, -saddle, 14) + top - 0.30 * np.clip(p.y, -60, 80)


def _dome(p: Points, x: float, y: float, half_width: float, half_depth: float) -> Field:
    away = ((p.x - x) / half_width) ** 2 + ((p.y - y) / half_depth) ** 2
    return -78.0 * (1 - np.sqrt(np.clip(1 - away, 0, 1))) - 40.0 * np.clip(away - 1, 0, 1.5)
