"""An image just as a file stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme


class FormatError(HybridSegError):
    """A file that cannot be read or written truly; the message names the file and the reason."""


@dataclass(frozen=True)
class StoredImage:
    """Voxels in the order of the file, and where they lie.

    Attributes
    ----------
    array : ndarray
        Shape (C, Z, Y, X), in the file's own axis directions and the type that its values need
        (slope and intercept applied).
    geometry : Geometry
        The file's grid, number for number.
    scheme : LabelScheme or None
        Names and colours, where the file carries them.
    modality : str
        ``"CT"``, ``"MR"``, ... where the file says so, else empty.
    notes : tuple of str
        What a careful reader should know: conflicts, replaced values, guesses.
    """

    array: NDArray[np.generic]
    geometry: Geometry
    scheme: LabelScheme | None = None
    modality: str = ""
    notes: tuple[str, ...] = ()
