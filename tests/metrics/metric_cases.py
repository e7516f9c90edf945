"""Label maps to score, and a slow, plain scorer to hold ours against."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, generate_binary_structure

Labels = NDArray[np.unsignedinteger]


def border_voxels(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give the (n, 3) indices of mask XOR erosion; axes of one voxel do not erode."""
    footprint = generate_binary_structure(3, 1)
    for axis, length in enumerate(mask.shape):
        if length == 1 and mask.size > 1:
            keep = [slice(None)] * 3
            for off in (0, 2):
                keep[axis] = off
                footprint[tuple(keep)] = False
    return np.argwhere(mask & ~binary_erosion(mask, footprint))


def brute_distances(
    one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Give the distance of every border voxel of one mask to all of the other's, least first."""
    steps = border_voxels(one)[:, None] - border_voxels(other)[None]
    squares = (steps * np.asarray(spacing)) ** 2
    return np.sqrt((squares[..., 0] + squares[..., 1]) + squares[..., 2]).min(axis=1)


def balls(
    shape: tuple[int, int, int], labels: int = 3, seed: int = 0, dtype: type = np.uint8
) -> tuple[Labels, Labels]:
    """Make two label maps with balls in nearly the same places."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    maps = np.zeros((2, *shape), dtype)
    for label in range(1, labels + 1):
        centre, radius = rng.uniform(0.2, 0.8, 3) * shape, rng.uniform(0.1, 0.2) * min(shape)
        for label_map in maps:
            off = rng.normal(0, 0.7, 3)
            label_map[((grid - centre - off) ** 2).sum(axis=-1) <= radius**2] = label
    return maps[0], maps[1]


@st.composite
def label_map_pairs(
    draw: st.DrawFn,
) -> tuple[Labels, Labels, tuple[float, float, float]]:
    """Random pairs: any small shape, noise or blocks, anisotropic spacing, uint8 or uint16."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 8), st.integers(1, 140)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.01, 0.1, 0.5, 0.9]))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    blocks = draw(st.sampled_from([1, 3]))

    def label_map() -> Labels:
        coarse = [-(-n // blocks) for n in shape]
        values = rng.integers(1, 4, coarse) * (rng.random(coarse) < density)
        full = values.repeat(blocks, 0).repeat(blocks, 1).repeat(blocks, 2)
        return np.ascontiguousarray(full[: shape[0], : shape[1], : shape[2]]).astype(dtype)

    spacing = draw(st.tuples(*[st.sampled_from([0.3, 0.75, 1.0, 1.5, 5.0, 40.0])] * 3))
    return label_map(), label_map(), spacing
