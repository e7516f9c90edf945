"""Keeping what a run has finished, for when it is cancelled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.events import RegionDone
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume, smallest_label_type

Labels = NDArray[np.unsignedinteger]


class PartialLabels:
    """Puts finished parts together; what is not finished is background.

    Parameters
    ----------
    volume : Volume
        What is being segmented.
    scheme : LabelScheme
        The checkpoint's organs.
    room : callable, optional
        Makes an array of zeros, given shape (Z, Y, X) and type, to put them into.
    """

    def __init__(
        self, volume: Volume, scheme: LabelScheme, room: Callable[..., Labels] = np.zeros
    ) -> None:
        self._volume = volume
        self._scheme = scheme
        kind = smallest_label_type(max(scheme.ids, default=0))
        self._array = room(volume.geometry.shape, dtype=kind)
        self._done = 0

    @property
    def array(self) -> Labels:
        """The labels (Z, Y, X) themselves, which further parts go into."""
        return self._array

    @property
    def part(self) -> float:
        """How much of the volume is finished, 0 to 1."""
        return self._done / self._array.size

    def take(self, region: RegionDone) -> None:
        """Take a finished part."""
        place = tuple(
            slice(start, start + n)
            for start, n in zip(region.start, region.labels.shape, strict=True)
        )
        self._array[place] = region.labels
        self._done += region.labels.size

    def label_map(self) -> LabelMap:
        """Give what is there, with a note that says how much it is."""
        volume = self._volume
        return LabelMap(
            geometry=volume.geometry,
            source=volume.source,
            array=self._array.copy(),
            scheme=self._scheme,
            name=f"{volume.name} (unfinished)",
            notes=(f"The run was cancelled; {self.part:.0%} of the volume were segmented.",),
        )
