"""From the two directed lists of border distances to the numbers that people report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Convention = Literal["monai", "pooled"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)

TOLERANCE_SLACK_MM = 1e-6
"""Spacings come from float32 headers; a voxel that is 0.7 mm off is within 0.7 mm."""


@dataclass(frozen=True)
class SurfaceAgreement:
    """How well two borders agree; the first three in millimetres, nsd from 0 to 1."""

    hd95_mm: float
    hd100_mm: float
    assd_mm: float
    nsd: float


def summarise_distances(
    there: NDArray[np.float64],
    back: NDArray[np.float64],
    tolerance_mm: float,
    convention: Convention = "monai",
) -> SurfaceAgreement:
    """Summarise the distances between two borders.

    Parameters
    ----------
    there, back : float64 ndarray
        From each border voxel of the one map to the nearest of the other, and the other way
        round, in millimetres; neither empty.
    tolerance_mm : float
        How far off a border may be and still count as right in ``nsd``.
    convention : {"monai", "pooled"}
        What HD95 is. The two differ most when one map has a far-off island.

    Returns
    -------
    SurfaceAgreement
        hd95_mm
            "monai": the larger of the two directed 95th percentiles (MONAI).
            "pooled": the 95th percentile of both lists together (medpy). Percentiles
            interpolate linearly.
        hd100_mm
            The largest distance (Hausdorff).
        assd_mm
            The mean over both lists together (Heimann et al., IEEE TMI 28(8), 2009).
        nsd
            The part of all border voxels within the tolerance (the border-voxel form of
            Nikolov et al., arXiv:1809.04430, as in MONAI's surface Dice).
    """
    both = np.concatenate((there, back))
    if convention == "pooled":
        hd95 = np.percentile(both, 95)
    else:
        hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return SurfaceAgreement(
        hd95_mm=float(hd95),
        hd100_mm=float(both.max()),
        assd_mm=float(both.mean()),
        nsd=float(np.count_nonzero(both <= tolerance_mm + TOLERANCE_SLACK_MM) / both.size),
    )
