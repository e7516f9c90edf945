"""The grids between a volume and a network: turned, cropped, and of another spacing.

Geometry alone: this module looks at no voxel and imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_hybridseg.geometry import Geometry, Reorientation, Triple
from napari_hybridseg.model_card import Preprocessing, Spacing
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import CANONICAL, OnGrid

Box = tuple[slice, slice, slice]

WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Grids:
    """What lies between a volume and the network.

    Attributes
    ----------
    oriented : Geometry
        The volume's own voxels in the network's orientation.
    own : Geometry
        The part of them that is looked at.
    working : Geometry
        The network's grid over that part.
    wished : tuple of float
        The spacing (x, y, z) that the card asks for; ``working`` comes as near as whole voxels
        allow.
    """

    oriented: Geometry
    own: Geometry
    working: Geometry
    wished: Triple


def working_grids(volume: OnGrid, preprocessing: Preprocessing, box: Box = WHOLE) -> Grids:
    """Give the grids for a volume, of which only a box (Z, Y, X, network's axes) is looked at."""
    change = orientation_change(volume, preprocessing.orientation, preprocessing.axes)
    oriented = volume.geometry.reoriented(change)
    own = _part(oriented, box)
    wished = _wished_spacing(own, preprocessing.spacing, preprocessing.axes)
    working = own
    if preprocessing.shape is not None:
        shape = zip(preprocessing.shape, own.shape, strict=True)
        working = own.with_shape(tuple(wish or present for wish, present in shape))
    elif preprocessing.spacing is not None:
        working = own.with_spacing(wished)
    return Grids(oriented, own, working, wished)


def orientation_change(
    volume: OnGrid, orientation: str, axes: tuple[int, ...] = (0, 1, 2)
) -> Reorientation:
    """Give the flips and swaps from canonical order to the one a network was trained in.

    Parameters
    ----------
    volume : OnGrid
        In canonical order.
    orientation : str
        Axis codes, or ``"as-stored"``.
    axes : tuple of int
        The order of that orientation's array axes (0 is Z).
    """
    if orientation == "as-stored":
        change = volume.way_back
    else:
        change = volume.geometry.to_axis_codes(orientation or CANONICAL)
    places = [2 - axes[2 - axis] for axis in range(3)]
    order, flips = ([what[place] for place in places] for what in (change.order, change.flips))
    return Reorientation(tuple(order), tuple(flips))  # type: ignore[arg-type]


def _wished_spacing(own: Geometry, spacing: Spacing | None, axes: tuple[int, ...]) -> Triple:
    """Turn a card's spacing into millimetres along (x, y, z) of the network's axes."""
    wish = (spacing or (None,) * 3)[::-1]
    z, y, x = (wish[axis] or present for axis, present in zip(axes, own.spacing_zyx, strict=True))
    return x, y, z


def _part(geometry: Geometry, box: Box) -> Geometry:
    """Describe the voxels of a box (Z, Y, X) of a grid."""
    if box == WHOLE:
        return geometry
    first = np.array([part.start for part in box], dtype=np.float64)
    return Geometry(
        size=tuple(part.stop - part.start for part in box[::-1]),
        spacing=geometry.spacing,
        origin=tuple(geometry.world(first)),
        direction=geometry.direction,
    )
