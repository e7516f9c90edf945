"""Implicit shapes: fields in millimetres that are negative inside, and how they combine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from torso.space import Field, Grid, Points, Triple


def ellipsoid(p: Points, centre: Triple, radii: Triple, turn: Triple = (0, 0, 0)) -> Field:
    """Approximate the signed distance to an ellipsoid.

    Parameters
    ----------
    p : Points
        Where to evaluate.
    centre, radii : Triple
        x, y, z in mm.
    turn : Triple
        Euler angles about x, y, z in degrees that turn the ellipsoid about its centre.
    """
    offset = [p.x - centre[0], p.y - centre[1], p.z - centre[2]]
    if any(turn):
        rotation = Rotation.from_euler("xyz", turn, degrees=True).as_matrix().T.astype(np.float32)
        offset = [sum(rotation[i, j] * offset[j] for j in range(3)) for i in range(3)]
    norm = np.sqrt(sum((o / r) ** 2 for o, r in zip(offset, radii, strict=True)))
    slope = np.sqrt(sum((o / r**2) ** 2 for o, r in zip(offset, radii, strict=True)))
    return norm * (norm - 1) / (slope + 1e-4)


def union(a: Field, b: Field, blend: float) -> Field:
    """Join two shapes with a fillet of about `blend` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend, 0, 1)
    return b + (a - b) * h - blend * h * (1 - h)


def intersection(a: Field, b: Field, blend: float) -> Field:
    """Keep what lies in both shapes, with a rounded edge of about `blend` mm."""
    return -union(-a, -b, blend)


def difference(a: Field, b: Field, blend: float) -> Field:
    """Take shape b out of shape a, with a rounded edge of about `blend` mm."""
    return intersection(a, -b, blend)


def step(value: Field, start: float, stop: float) -> Field:
    """Rise smoothly from 0 at `start` to 1 at `stop`."""
    t = np.clip((value - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def bump(value: Field, centre: float, width: float) -> Field:
    """Give a bell of height 1 around `centre`."""
    return np.exp(-(((value - centre) / width) ** 2))


def curve(waypoints: Sequence[Triple], step_mm: float = 1.0) -> np.ndarray:
    """Lay a smooth line through waypoints.

    Returns
    -------
    ndarray
        (N, 3) x, y, z in mm, about `step_mm` apart.
    """
    way = np.asarray(waypoints, dtype=float)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    count = max(int(chord[-1] / step_mm), 2)
    return CubicSpline(chord, way)(np.linspace(0, chord[-1], count))


def ball_chain(p: Points, centres: np.ndarray, radii: np.ndarray, blend: float) -> Field:
    """Join balls strung along a line: a tube whose radius changes on its way.

    Parameters
    ----------
    p : Points
        Where to evaluate.
    centres : ndarray
        (N, 3) x, y, z in mm.
    radii : ndarray
        (N,) in mm.
    blend : float
        Fillet between neighbouring balls in mm.
    """
    shape: Field | None = None
    for centre, radius in zip(centres.astype(np.float32), radii, strict=True):
        dx, dy, dz = p.x - centre[0], p.y - centre[1], p.z - centre[2]
        ball = np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(radius)
        shape = ball if shape is None else union(shape, ball, blend)
    if shape is None:
        raise ValueError("a chain needs at least one ball")
    return shape


def locate(p: Points, places: np.ndarray, grid: Grid) -> np.ndarray:
    """Find the voxels of a box that hold given anatomical places.

    Follows the (small) warp by fixed-point iteration.

    Parameters
    ----------
    p : Points
        The box.
    places : ndarray
        (N, 3) anatomical x, y, z in mm.
    grid : Grid
        The grid of the box.

    Returns
    -------
    ndarray
        (N, 3) int, z, y, x in the box; places outside end up on its border.
    """
    limit = np.asarray(p.x.shape) - 1
    wanted = np.asarray(places, dtype=float)
    at = np.tile(limit / 2, (len(wanted), 1))
    for _ in range(8):
        k = tuple(np.clip(np.rint(at), 0, limit).astype(int).T)
        found = np.stack([p.z[k], p.y[k], p.x[k]], axis=1)
        at = np.stack(k, axis=1) + (wanted[:, ::-1] - found) / grid.spacing
    return np.clip(np.rint(at), 0, limit).astype(int)


def distance_to_line(p: Points, line: np.ndarray, grid: Grid) -> Field:
    """Measure the distance in mm to a dense line, (N, 3) anatomical x, y, z."""
    away = np.ones(p.x.shape, dtype=bool)
    away[tuple(locate(p, line, grid).T)] = False
    return (ndimage.distance_transform_edt(away) * grid.spacing).astype(np.float32)
