"""Overlap and volume from voxel counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def dice(voxels_a: int, voxels_b: int, agreed: int) -> float:
    """Give the Dice coefficient, 2 |A and B| / (|A| + |B|); the sets are not both empty."""
    return 2 * agreed / (voxels_a + voxels_b)


def iou(voxels_a: int, voxels_b: int, agreed: int) -> float:
    """Give the intersection over union (Jaccard); the sets are not both empty."""
    return agreed / (voxels_a + voxels_b - agreed)


def volume_ml(voxels: int, spacing: Sequence[float]) -> float:
    """Give the volume of some voxels of this spacing (mm) in millilitres."""
    return voxels * prod(spacing) / 1000
