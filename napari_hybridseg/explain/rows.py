"""From slabs of cells, as they come, to a canonical array on the volume's own grid."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.explain.cells import ONE, Windows
from napari_hybridseg.explain.slabs import Reduce, Slab
from napari_hybridseg.inference.preprocess import Prepared
from napari_hybridseg.inference.windows import Shape


class CanonicalRows:
    """Fills a canonical array from slabs (C, dz, Y, X) of cells, plane by plane.

    Every voxel of the volume takes the value of the cell that its centre lies in; with
    ``linear``, it is interpolated between cell centres. ``reduce`` then turns the C values of a
    voxel into one: so an argmax or an entropy is taken of interpolated values, and no array of
    C x volume exists. Where the network did not look (a volume cropped to what is not 0) the
    array keeps ``outside``.

    Parameters
    ----------
    prepared : Prepared
        How the volume was brought to the network's grid.
    plan : Windows
        In voxels of the network's grid.
    stride : tuple of int
        Voxels to a cell.
    array : ndarray
        Canonical, (Z, Y, X), is filled in place.
    reduce : callable
        Turns (C, Y, X) into (Y, X).
    linear : bool
        Whether to interpolate.
    """

    def __init__(
        self,
        prepared: Prepared,
        plan: Windows,
        array: NDArray,
        reduce: Reduce,
        *,
        stride: Shape = ONE,
        linear: bool = False,
    ) -> None:
        # a view in the network's orientation: what is written here lands in the canonical array
        self._into = prepared.change.apply(array)[prepared.box]
        self._places = [
            _cell_places(outs, working, before, padded, cell, linear)
            for outs, working, before, padded, cell in zip(
                self._into.shape,
                prepared.working.shape,
                plan.before,
                plan.padded,
                stride,
                strict=True,
            )
        ]
        self._reduce = reduce
        self._planes: dict[int, Tensor] = {}
        self._next = 0

    def feed(self, slab: Slab) -> None:
        """Take the next slab of cells, and fill the rows that it completes."""
        low = self._places[0][0]
        for offset in range(slab.values.shape[1]):
            row = slab.start + offset
            if self._next == len(low):
                return
            if row >= low[self._next]:
                self._planes[row] = self._to_output_plane(slab.values[:, offset])
                self._fill_up_to(row)

    def _fill_up_to(self, last: int) -> None:
        low, high, part = self._places[0]
        while self._next < len(low) and high[self._next] <= last:
            below, above = int(low[self._next]), int(high[self._next])
            for known in [known for known in self._planes if known < below]:
                del self._planes[known]
            plane = self._planes[below]
            if part[self._next] > 0:
                plane = torch.lerp(plane, self._planes[above], float(part[self._next]))
            self._into[self._next] = self._reduce(plane).cpu().numpy()
            self._next += 1

    def _to_output_plane(self, cells: Tensor) -> Tensor:
        for axis in (1, 2):
            low, high, part = (torch.as_tensor(p, device=cells.device) for p in self._places[axis])
            lower = cells.index_select(axis, low)
            if bool((part > 0).any()):
                shape = [-1 if a == axis else 1 for a in range(3)]
                lower = torch.lerp(lower, cells.index_select(axis, high), part.reshape(shape))
            cells = lower
        return cells


def _cell_places(
    outs: int, working: int, before: int, padded: int, cell: int, linear: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Give, for every voxel of an axis, the cells below and above it, and how far between.

    Voxels are placed as a linear interpolation of the working grid would place them.
    """
    place = np.clip((np.arange(outs) + 0.5) * working / outs - 0.5, 0, working - 1) + before
    cells = padded // cell
    if not linear:
        nearest = np.clip((place + 0.5) // cell, 0, cells - 1).astype(np.int64)
        return nearest, nearest, np.zeros(outs, np.float32)
    inside = np.clip((place + 0.5) / cell - 0.5, 0, cells - 1)
    low = np.floor(inside).astype(np.int64)
    high = np.minimum(low + 1, cells - 1)
    return low, high, (inside - low).astype(np.float32)
