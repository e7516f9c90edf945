"""From slabs of cells, as they come, to a canonical array on the volume's own grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.explain.cells import ONE, Windows
from napari_hybridseg.explain.slabs import Reduce, Slab
from napari_hybridseg.inference.preprocess import Prepared
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.older_python import zip


class CanonicalRows:
    """Fills a canonical array from slabs (C, dz, dy, X) of cells, plane by plane.

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
        self._lines = plan.padded[1] // stride[1]
        self._reduce = reduce
        self._bands: dict[int, _BandRows] = {}
        # of a band, by row: the last line, which the band below interpolates from
        self._edges: dict[int, Tensor] = {}

    def feed(self, slab: Slab) -> None:
        """Take the next slab of cells, and fill the rows that it completes.

        Slabs of one band come with their rows in order; the same rows of the band above before.
        """
        bottom = slab.top + slab.values.shape[2]
        band = self._bands.get(slab.top)
        if band is None:
            band = self._bands[slab.top] = self._band(slab.top, bottom)
        for offset in range(slab.values.shape[1]):
            row, cells = slab.start + offset, slab.values[:, offset]
            above = self._edges.pop(row, None)
            if bottom < self._lines and self._is_between_lines:
                self._edges[row] = cells[:, -1:].clone()
            band.feed(row, cells if above is None else torch.cat((above, cells), dim=1))

    @property
    def _is_between_lines(self) -> bool:
        return bool(self._places[1].part.any())

    def _band(self, top: int, bottom: int) -> _BandRows:
        """Give the part that the lines from ``top`` to ``bottom`` complete."""
        z, y, x = self._places
        first, last = np.searchsorted(y.high, (top, bottom))
        lines = slice(int(first), int(last))
        begin = top - 1 if top and self._is_between_lines else top
        there = _Places(y.low[lines] - begin, y.high[lines] - begin, y.part[lines])
        return _BandRows(self._into[:, lines], (z, there, x), self._reduce)


class _BandRows:
    """Fills a band of the array, plane by plane."""

    def __init__(
        self, into: NDArray, places: tuple[_Places, _Places, _Places], reduce: Reduce
    ) -> None:
        self._into = into
        self._places = places
        self._reduce = reduce
        self._planes: dict[int, Tensor] = {}
        self._next = 0

    def feed(self, row: int, cells: Tensor) -> None:
        """Take the next row of cells, (C, Y, X)."""
        low = self._places[0].low
        if self._into.size and self._next < len(low) and row >= low[self._next]:
            self._planes[row] = self._to_output_plane(cells)
            self._fill_up_to(row)

    def _fill_up_to(self, last: int) -> None:
        z = self._places[0]
        while self._next < len(z.low) and z.high[self._next] <= last:
            below, above = int(z.low[self._next]), int(z.high[self._next])
            plane = self._planes[below]
            if z.part[self._next] > 0:
                plane = torch.lerp(plane, self._planes[above], float(z.part[self._next]))
            self._into[self._next] = self._reduce(plane).cpu().numpy()
            self._next += 1
        needed = z.low[self._next] if self._next < len(z.low) else last + 1
        for known in [known for known in self._planes if known < needed]:
            del self._planes[known]

    def _to_output_plane(self, cells: Tensor) -> Tensor:
        for axis in (1, 2):
            places = self._places[axis]
            if places.is_identity_of(cells.shape[axis]):
                continue
            low, high, part = (torch.as_tensor(p, device=cells.device) for p in places)
            lower = cells.index_select(axis, low)
            if bool((part > 0).any()):
                shape = [-1 if a == axis else 1 for a in range(3)]
                lower = torch.lerp(lower, cells.index_select(axis, high), part.reshape(shape))
            cells = lower
        return cells


class _Places(NamedTuple):
    """For every voxel of an axis: the cells below and above it, and how far between."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    part: NDArray[np.float32]

    def is_identity_of(self, cells: int) -> bool:
        """Whether voxels are the cells themselves."""
        is_one_by_one = len(self.low) == cells and not self.part.any()
        return is_one_by_one and bool((self.low == np.arange(cells)).all())


def _cell_places(
    outs: int, working: int, before: int, padded: int, cell: int, linear: bool
) -> _Places:
    """Place the voxels of an axis between cells.

    Voxels are placed as a linear interpolation of the working grid would place them.
    """
    place = np.clip((np.arange(outs) + 0.5) * working / outs - 0.5, 0, working - 1) + before
    cells = padded // cell
    if not linear:
        nearest = np.clip((place + 0.5) // cell, 0, cells - 1).astype(np.int64)
        return _Places(nearest, nearest, np.zeros(outs, np.float32))
    inside = np.clip((place + 0.5) / cell - 0.5, 0, cells - 1)
    low = np.floor(inside).astype(np.int64)
    part = (inside - low).astype(np.float32)
    return _Places(low, low + (part > 0), part)
