"""Scanners: how a painted anatomy becomes a volume on a grid of its own, with its noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from torso.layers import Layer, paint_intensity, paint_labels
from torso.space import Field, Grid, stream
from torso.tissues import ORGANS, intensities

HU_RANGE = (-1024, 3071)


@dataclass(frozen=True)
class Scanner:
    """How one scanner takes its pictures.

    Attributes
    ----------
    name : str
        What it is called.
    phase : str
        Contrast phase, a column of `torso.tissues.TISSUES`.
    size : tuple of int
        Voxels along the image axes i, j, k.
    spacing : tuple of float
        Voxel size along i, j, k in mm.
    axes : tuple of tuple of float
        World direction (LPS) of i, j and k before the tilt.
    tilt : tuple of float
        Rotation about world x, y, z in degrees: what makes the grid oblique.
    centre : tuple of float
        World position of the grid's middle in mm.
    blur : tuple of float
        Standard deviation of the kernel along i, j, k in mm.
    noise_hu : float
        Standard deviation of the noise in the middle of the body.
    grain_mm : tuple of float
        Fine and coarse scale of the noise's band in mm.
    """

    name: str
    phase: str
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: tuple[tuple[float, float, float], ...]
    tilt: tuple[float, float, float]
    centre: tuple[float, float, float]
    blur: tuple[float, float, float]
    noise_hu: float
    grain_mm: tuple[float, float]

    @property
    def direction(self) -> np.ndarray:
        """(3, 3): the columns are the world directions of i, j, k; a proper rotation."""
        turn = Rotation.from_euler("xyz", self.tilt, degrees=True).as_matrix()
        return turn @ np.asarray(self.axes, dtype=float).T

    @property
    def origin(self) -> np.ndarray:
        """World x, y, z of the first voxel's centre in mm."""
        half = (np.asarray(self.size) - 1) / 2 * np.asarray(self.spacing)
        return np.asarray(self.centre) - self.direction @ half


SCANNERS = {
    "A": Scanner(
        name="A",
        phase="late_arterial",
        size=(128, 112, 64),
        spacing=(2.6, 2.6, 4.0),
        axes=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        tilt=(5.0, -4.0, 0.0),
        centre=(0.0, 4.0, 10.0),
        blur=(0.9, 0.9, 1.2),
        noise_hu=13.0,
        grain_mm=(1.3, 3.6),
    ),
    "B": Scanner(
        name="B",
        phase="portal_venous",
        size=(112, 96, 88),
        spacing=(3.0, 2.6, 3.2),
        axes=((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
        tilt=(-3.0, 6.0, 4.0),
        centre=(2.0, 2.0, 8.0),
        blur=(1.7, 1.5, 1.7),
        noise_hu=9.0,
        grain_mm=(2.4, 6.0),
    ),
}


@dataclass(frozen=True)
class Acquisition:
    """A scanned volume and its reference on the same grid.

    Attributes
    ----------
    image : ndarray
        int16 HU, (Z, Y, X) in SimpleITK's sense: k, j, i.
    reference : ndarray
        uint8 label map, same shape.
    scanner : Scanner
        Holds spacing, origin and direction.
    """

    image: np.ndarray
    reference: np.ndarray
    scanner: Scanner


def scan(seed: int, grid: Grid, layers: tuple[Layer, ...], scanner: Scanner) -> Acquisition:
    """Scan a painted anatomy.

    Parameters
    ----------
    seed : int
        The patient; also the seed of the noise.
    grid : Grid
        The grid of the layers.
    layers : tuple of Layer
        The anatomy.
    scanner : Scanner
        What to scan it with.
    """
    values = intensities(seed, scanner.phase)
    sharp = paint_intensity(grid, layers, values)
    seen = _sample(sharp, grid, scanner, fine=2, outside=-1000.0)
    spacing = np.asarray(scanner.spacing)[::-1]
    seen = ndimage.gaussian_filter(seen, np.asarray(scanner.blur)[::-1] / spacing)
    image = seen + _shading(seed, seen, scanner) + _noise(seed, seen, scanner)
    image = np.clip(np.rint(image), *HU_RANGE).astype(np.int16)
    return Acquisition(image, _reference(grid, layers, scanner), scanner)


def _sample(values: Field, grid: Grid, scanner: Scanner, fine: int, outside: float) -> Field:
    """Average `fine` linear samples per axis over each voxel of the scanner's grid."""
    shape = np.asarray(scanner.size)[::-1]
    step = np.diag(np.asarray(scanner.spacing)[::-1] / fine)
    to_world = scanner.direction[::-1, ::-1] @ step
    first = scanner.origin[::-1] + to_world @ np.full(3, (1 - fine) / 2)
    samples = ndimage.affine_transform(
        values,
        to_world / grid.spacing,
        (first - np.asarray(grid.lower)[::-1]) / grid.spacing,
        output_shape=tuple(shape * fine),
        order=1,
        mode="constant",
        cval=outside,
    )
    blocks = samples.reshape([n for size in shape for n in (size, fine)])
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def _reference(grid: Grid, layers: tuple[Layer, ...], scanner: Scanner) -> np.ndarray:
    """Give each voxel the label that fills most of it."""
    painted = paint_labels(grid, layers)
    best = np.full(np.asarray(scanner.size)[::-1], 0.5, dtype=np.float32)
    reference = np.zeros(best.shape, dtype=np.uint8)
    for organ in ORGANS:
        share = ndimage.gaussian_filter((painted == organ.id).astype(np.float32), 0.6)
        share = _sample(share, grid, scanner, fine=1, outside=0.0)
        more = share > best
        reference[more] = organ.id
        best = np.maximum(best, share)
    return reference


def _noise(seed: int, seen: Field, scanner: Scanner) -> Field:
    """Draw band-limited noise like a reconstruction's, strongest deep in the body."""
    rng = stream(seed, f"noise {scanner.name}")
    white = rng.standard_normal(seen.shape, dtype=np.float32)
    spacing = np.asarray(scanner.spacing)[::-1]
    fine = ndimage.gaussian_filter(white, scanner.grain_mm[0] / spacing)
    band = fine - 0.8 * ndimage.gaussian_filter(white, scanner.grain_mm[1] / spacing)
    body = np.clip((seen + 1000) / 1000, 0, 1.2)
    path = ndimage.gaussian_filter(body, 30 / spacing, mode="nearest")
    return band / band.std() * scanner.noise_hu * (0.25 + 0.85 * path)


def _shading(seed: int, seen: Field, scanner: Scanner) -> Field:
    """Give the slow error of a real scanner's calibration: cupping and a gentle slope."""
    rng = stream(seed, f"shading {scanner.name}")
    spacing = np.asarray(scanner.spacing)[::-1]
    dense = ndimage.gaussian_filter(np.clip(seen, -200, 400), 25 / spacing, mode="nearest")
    along = np.linspace(-1, 1, seen.shape[2], dtype=np.float32)
    return np.clip(-0.04 * dense, -6, 6) + rng.normal(0, 2) * along
