"""Branching vessels and airways: grown in a region, then splatted with their true volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from torso.space import Field, Triple

MURRAY_EXPONENT = 2.7


@dataclass(frozen=True)
class Tree:
    """Straight pieces of vessel: start and end (N, 3) in voxels (z, y, x), radius (N,) in mm."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray


def grow(
    rng: np.random.Generator, inside: np.ndarray, root: Triple, tips: int, root_radius: float
) -> Tree:
    """Grow a tree from a root to tips spread over a region.

    Tips nearest to the root come first; each joins the node that lies near it on the way from
    the root. A piece's radius follows Murray's law from the number of tips that it feeds.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the tips come from.
    inside : ndarray
        (Z, Y, X) bool, the region.
    root : Triple
        z, y, x of the root in voxels.
    tips : int
        How many tips to reach.
    root_radius : float
        Radius at the root in mm.
    """
    places = np.argwhere(inside).astype(float)
    chosen = places[rng.integers(len(places), size=tips)] + rng.uniform(-0.5, 0.5, (tips, 3))
    from_root = np.linalg.norm(chosen - root, axis=1)
    order = np.argsort(from_root, kind="stable")
    nodes = np.vstack([np.asarray(root, dtype=float)[None], chosen[order]])
    walked = np.zeros(tips + 1)
    parent = np.zeros(tips + 1, dtype=int)
    for n in range(1, tips + 1):
        reach = np.linalg.norm(nodes[:n] - nodes[n], axis=1)
        parent[n] = int(np.argmin(reach + 0.35 * walked[:n]))
        walked[n] = walked[parent[n]] + reach[parent[n]]
    fed = np.ones(tips + 1)
    for n in range(tips, 0, -1):
        fed[parent[n]] += fed[n]
    radius = root_radius * (fed[1:] / fed[0]) ** (1 / MURRAY_EXPONENT)
    return Tree(nodes[parent[1:]], nodes[1:], radius)


def splat(tree: Tree, shape: tuple[int, ...], spacing: float, widen: float = 1.0) -> Field:
    """Give the share of every voxel that the tree fills.

    Parameters
    ----------
    tree : Tree
        In voxels of the array.
    shape : tuple of int
        (Z, Y, X).
    spacing : float
        Voxel size in mm.
    widen : float
        Factor on the radii, for the walls of airways.
    """
    filled = np.zeros(shape, dtype=np.float32)
    classes = np.digitize(tree.radius, (1.4, 2.4, 4.0))
    for number in np.unique(classes):
        part = classes == number
        deposit = _deposit(tree, part, shape, spacing, widen)
        sigma = max(float(tree.radius[part].mean()) * widen / 2.0 / spacing, 0.45)
        filled += ndimage.gaussian_filter(deposit, sigma, truncate=3)
    return np.clip(filled, 0, 1)


def _deposit(
    tree: Tree, part: np.ndarray, shape: tuple[int, ...], spacing: float, widen: float
) -> Field:
    start, end, radius = tree.start[part], tree.end[part], tree.radius[part] * widen
    length = np.linalg.norm(end - start, axis=1)
    counts = np.maximum((length / 0.35).astype(int), 1)
    which = np.repeat(np.arange(len(counts)), counts)
    t = (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[
        which
    ]
    places = start[which] + t[:, None] * (end - start)[which]
    volume = np.pi * radius**2 * length * spacing / counts / spacing**3
    return _spread(places, volume[which], shape)


def _spread(places: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> Field:
    base = np.floor(places).astype(int)
    rest = places - base
    total = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        index = base + corner
        valid = np.all((index >= 0) & (index < shape), axis=1)
        share = np.prod(np.where(corner, rest, 1 - rest), axis=1) * weights
        flat = np.ravel_multi_index(index[valid].T, shape)
        total += np.bincount(flat, share[valid], minlength=total.size)
    return total.reshape(shape).astype(np.float32)
