"""What a user says about some voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.boxes import Box, Labels, grown
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.older_python import zip


@dataclass(frozen=True, eq=False)
class Strokes:
    """Voxels of which a user said 'this is organ k' or 'this is not organ k'.

    Later statements about a voxel replace earlier ones.

    Attributes
    ----------
    voxels : ndarray
        Shape (N, 3), whole numbers (Z, Y, X) in the label map.
    labels : ndarray
        Shape (N,): the organ's number; 0 is background.
    is_not : ndarray
        Shape (N,), bool: true where the statement is 'this is not'.
    """

    voxels: NDArray[np.integer]
    labels: Labels
    is_not: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.voxels.shape != (count, 3) or self.is_not.shape != (count,):
            raise CorrectionError("The strokes do not say one thing for every voxel.")

    @classmethod
    def join(cls, parts: Iterable[tuple[NDArray[np.integer], int, bool]]) -> Strokes:
        """Make strokes from parts of ``(voxels (N, 3), label, is_not)``, in order of painting."""
        parts = list(parts)
        voxels = [np.asarray(v, dtype=np.int64).reshape(-1, 3) for v, _, _ in parts]
        labels = [np.full(len(v), p[1], np.uint16) for v, p in zip(voxels, parts, strict=True)]
        is_not = [np.full(len(v), p[2], bool) for v, p in zip(voxels, parts, strict=True)]
        empty = np.zeros((0, 3), np.int64), np.zeros(0, np.uint16), np.zeros(0, bool)
        return cls(
            np.concatenate([empty[0], *voxels]),
            np.concatenate([empty[1], *labels]),
            np.concatenate([empty[2], *is_not]),
        )

    @classmethod
    def from_layers(cls, is_organ: Labels | None, is_not: Labels | None) -> Strokes:
        """Make strokes from label-like arrays (Z, Y, X): a number says the organ, 0 nothing.

        'This is background' has no place in such an array; give it as 'is not' of the organ.
        """
        parts = []
        for layer, negative in ((is_organ, False), (is_not, True)):
            if layer is not None:
                voxels = np.argwhere(layer)
                parts += [
                    (voxels[layer[tuple(voxels.T)] == label], int(label), negative)
                    for label in np.unique(layer[tuple(voxels.T)])
                ]
        return cls.join(parts)

    def __len__(self) -> int:
        """Count the statements."""
        return len(self.labels)

    def box(self, shape: tuple[int, ...], margin: tuple[int, int, int] = (0, 0, 0)) -> Box:
        """Give the box around the strokes, larger by ``margin`` voxels on every side.

        Raises
        ------
        CorrectionError
            If there is no stroke, or one lies outside an array of ``shape``.
        """
        if not len(self):
            raise CorrectionError("There is no stroke; draw on what is wrong first.")
        low, high = self.voxels.min(axis=0), self.voxels.max(axis=0)
        if low.min() < 0 or (high >= np.asarray(shape)).any():
            raise CorrectionError("A stroke lies outside the volume; draw it anew.")
        z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
        return grown((z, y, x), margin, shape)

    def inside(self, box: Box) -> Strokes:
        """Give the statements in a box, counted from the box's first voxel."""
        start = np.array([part.start for part in box])
        size = np.array([part.stop - part.start for part in box])
        moved = self.voxels - start
        kept = ((moved >= 0) & (moved < size)).all(axis=1)
        return Strokes(moved[kept], self.labels[kept], self.is_not[kept])

    def latest(self) -> Strokes:
        """Leave out what a later statement about the same voxel replaces."""
        if not len(self):
            return self
        backwards = self.voxels[::-1]
        _, first = np.unique(backwards, axis=0, return_index=True)
        kept = np.sort(len(self) - 1 - first)
        return Strokes(self.voxels[kept], self.labels[kept], self.is_not[kept])
