"""Strokes as an autosave keeps them, until 'Repair' obeys them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from napari_hybridseg.corrections.assist.strokes import Strokes

_COUNT = struct.Struct("<Q")
_ENTRY = np.dtype([("voxel", "<u4", 3), ("label", "<u2"), ("is_not", "?"), ("has_spread", "?")])


@dataclass(frozen=True, eq=False)
class KeptStrokes:
    """What was said, and what of it was obeyed already.

    Attributes
    ----------
    strokes : Strokes
        All statements, in the label map's voxels.
    has_spread : ndarray
        Shape (N,), bool: true where a repair obeyed the statement.
    """

    strokes: Strokes
    has_spread: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Self:
        """Give no strokes."""
        return cls(Strokes.join([]), np.zeros(0, bool))

    @property
    def waiting(self) -> int:
        """How many voxels wait for a repair."""
        return int((~self.has_spread).sum())

    def to_bytes(self) -> bytes:
        """Pack them."""
        entries = np.zeros(len(self.strokes), _ENTRY)
        entries["voxel"] = self.strokes.voxels
        entries["label"] = self.strokes.labels
        entries["is_not"] = self.strokes.is_not
        entries["has_spread"] = self.has_spread
        return _COUNT.pack(len(entries)) + zlib.compress(entries.tobytes(), 1)

    @classmethod
    def from_bytes(cls, content: bytes, shape: tuple[int, ...]) -> Self:
        """Unpack what `to_bytes` gave, for a label map of ``shape`` (Z, Y, X).

        Raises
        ------
        ValueError
            If it is something else, or a stroke lies outside.
        """
        try:
            (count,) = _COUNT.unpack_from(content)
            entries = np.frombuffer(zlib.decompress(content[_COUNT.size :]), _ENTRY)
        except (struct.error, zlib.error) as error:
            raise ValueError(str(error)) from error
        voxels = entries["voxel"].astype(np.int64)
        if len(entries) != count or (voxels >= np.asarray(shape)).any():
            raise ValueError("its strokes do not lie in the volume")
        strokes = Strokes(voxels, entries["label"].astype(np.uint16), entries["is_not"].copy())
        return cls(strokes, entries["has_spread"].copy())
