"""A made-up patient: one seed gives one anatomy, which any of the scanners can scan.

The anatomy is painted in layers on an isotropic grid in the patient's LPS frame (`make_anatomy`)
and then sampled by a scanner with its own contrast phase, kernel, noise and oblique grid
(`acquire`). The same seed scanned twice is the same patient: both volumes share one world.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torso.abdomen import (
    paint_great_vessels,
    paint_kidneys,
    paint_liver,
    paint_perirenal_fat,
    paint_spleen,
)
from torso.chest import paint_chest
from torso.frame import make_frame
from torso.gut import paint_bowel, paint_pancreas, paint_stomach
from torso.layers import Layer, trimmed
from torso.scanner import SCANNERS, Acquisition, Scanner, scan
from torso.space import Grid, make_space
from torso.tissues import ORGANS, Organ
from torso.trunk import paint_spine, paint_trunk

__all__ = [
    "ORGANS",
    "SCANNERS",
    "Acquisition",
    "Anatomy",
    "Organ",
    "Scanner",
    "acquire",
    "make_anatomy",
]

PAINT_GRID = Grid()


@dataclass(frozen=True)
class Anatomy:
    """A patient's painted anatomy: `layers` from bottom to top on `grid`."""

    seed: int
    grid: Grid
    layers: tuple[Layer, ...] = field(repr=False)


def make_anatomy(seed: int, grid: Grid = PAINT_GRID) -> Anatomy:
    """Make the patient of a seed.

    Where two things claim a place, the later one is painted over the earlier: the liver dents
    the stomach, and the kidneys dent liver and spleen.

    Parameters
    ----------
    seed : int
        The patient; 0 or more.
    grid : Grid
        What to paint on. A coarser grid is faster and gives another patient.

    Raises
    ------
    ValueError
        If the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"a seed must not be negative, and {seed} is: give 0 or more")
    frame = make_frame(make_space(seed, grid))
    layers = [
        *paint_trunk(frame),
        *paint_bowel(frame),
        *paint_perirenal_fat(frame),
        *paint_pancreas(frame),
        *paint_spleen(frame),
        *paint_stomach(frame),
        *paint_liver(frame),
        *paint_kidneys(frame),
        *paint_chest(frame),
        *paint_great_vessels(frame),
        *paint_spine(frame),
    ]
    return Anatomy(seed, grid, tuple(trimmed(layer) for layer in layers))


def acquire(anatomy: Anatomy, scanner: Scanner) -> Acquisition:
    """Scan a patient; gives the image in HU and its reference, both on the scanner's grid."""
    return scan(anatomy.seed, anatomy.grid, anatomy.layers, scanner)
