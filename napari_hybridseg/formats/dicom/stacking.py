"""From slices in any order to a stack: sorted along its normal, and judged.

A scan is a volume when its slices are parallel, evenly spaced and straight above one another
(PS3.3 C.7.6.2.1.1). The file order, the instance numbers and the slice locations are not asked:
only the position and orientation in the patient count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.dicom.headers import Frame
from napari_hybridseg.formats.grids import ROUNDING_VOXELS, Matrix
from napari_hybridseg.geometry import ORTHONORMAL_TOLERANCE

_SAME_PLACE_MM = 1e-3
_ROUNDING_MM = 1e-3
_ALIKE_GAPS = 1.1
_MOST_SHOWN = 12


@dataclass(frozen=True)
class Stack:
    """Slices sorted along the normal of their planes.

    Attributes
    ----------
    frames : tuple of tuple of Frame
        For every position, the frames there, first acquired first.
    positions : ndarray
        Shape (slices, 3), LPS millimetres of each slice's first pixel.
    heights : ndarray
        Shape (slices,), millimetres along the normal.
    """

    frames: tuple[tuple[Frame, ...], ...]
    positions: Matrix
    heights: Matrix

    @property
    def channels(self) -> int:
        """How many frames every position has, 0 where positions differ in that."""
        counts = {len(frames) for frames in self.frames}
        return counts.pop() if len(counts) == 1 else 0

    @property
    def gaps(self) -> Matrix:
        """Millimetres from slice to slice."""
        return np.diff(self.heights)

    @property
    def usual_gap(self) -> float:
        """The distance of slices that have no other missing between them."""
        if len(self.gaps) == 0:
            return self.frames[0][0].thickness or 1.0
        near = self.gaps[self.gaps <= self.gaps.min() * _ALIKE_GAPS]
        return float(np.median(near))

    @property
    def unevenness(self) -> float:
        """How far a slice is from where even spacing would put it at most, in millimetres."""
        even = np.linspace(self.heights[0], self.heights[-1], len(self.heights))
        return float(np.abs(self.heights - even).max())

    @property
    def is_even(self) -> bool:
        """Whether the slices lie evenly, but for rounding of their positions."""
        if len(self.gaps) == 0:
            return True
        return self.unevenness <= ROUNDING_VOXELS * float(self.gaps.mean())

    @property
    def tilt(self) -> float:
        """Degrees by which the way from slice to slice leans from the slices' normal."""
        way = self.positions[-1] - self.positions[0]
        length = float(np.linalg.norm(way))
        if length == 0:
            return 0.0
        return float(np.rad2deg(np.arccos(np.clip(abs(way @ normal_of(self._any)) / length, 0, 1))))

    @property
    def is_tilted(self) -> bool:
        """Whether that is more than rounding: a tilted gantry."""
        return bool(np.sin(np.deg2rad(self.tilt)) > ORTHONORMAL_TOLERANCE) and bool(
            self.tilt_shift > ROUNDING_VOXELS
        )

    @property
    def tilt_shift(self) -> float:
        """How many pixels the last slice is shifted against the first."""
        way = self.positions[-1] - self.positions[0]
        sideways = way - (way @ normal_of(self._any)) * normal_of(self._any)
        return float(np.linalg.norm(sideways) / min(self._any.pixel_spacing))

    @property
    def strays(self) -> float:
        """How many pixels a slice lies beside the straight line of the stack at most."""
        if len(self.heights) < 3:
            return 0.0
        part = (self.heights - self.heights[0]) / (self.heights[-1] - self.heights[0])
        line = self.positions[0] + part[:, None] * (self.positions[-1] - self.positions[0])
        distance = np.linalg.norm(self.positions - line, axis=1).max()
        return float(distance / min(self._any.pixel_spacing))

    @property
    def rounding_notes(self) -> tuple[str, ...]:
        """Say where an even stack is even only within rounding."""
        if self.unevenness <= max(_ROUNDING_MM, 1e-3 * self.usual_gap):
            return ()
        return (
            f"The slices lie up to {self.unevenness:.2g} mm off even spacing and were taken as "
            "evenly spaced.",
        )

    def affine(self, steps: int | None = None) -> Matrix:
        """Give the 4x4 matrix from (x, y, z) index to LPS millimetres.

        Parameters
        ----------
        steps : int or None
            In how many steps the way from the first to the last slice is divided; None for one
            from each slice to the next.
        """
        frame = self._any
        row, column = frame.orientation[:3], frame.orientation[3:]
        matrix = np.eye(4)
        matrix[:3, 0] = np.asarray(row) * frame.pixel_spacing[1]
        matrix[:3, 1] = np.asarray(column) * frame.pixel_spacing[0]
        steps = len(self.heights) - 1 if steps is None else steps
        if steps:
            matrix[:3, 2] = (self.positions[-1] - self.positions[0]) / steps
        else:
            matrix[:3, 2] = normal_of(frame) * self.usual_gap
        matrix[:3, 3] = self.positions[0]
        return matrix

    def describe_positions(self) -> str:
        """List the positions along the normal, in full or around the odd gaps."""
        heights = [f"{height:.1f}" for height in self.heights]
        if len(heights) <= _MOST_SHOWN:
            return ", ".join(heights)
        odd = np.flatnonzero(np.abs(self.gaps - self.usual_gap) > ROUNDING_VOXELS * self.usual_gap)
        shown = sorted({i for k in odd[:3] for i in range(k - 1, k + 3) if 0 <= i < len(heights)})
        pieces = []
        for place, index in enumerate(shown):
            if place == 0 or index != shown[place - 1] + 1:
                pieces.append("…")
            pieces.append(heights[index])
        return ", ".join([heights[0], *pieces, "…", heights[-1]])

    @property
    def _any(self) -> Frame:
        return self.frames[0][0]


def stack_up(frames: Sequence[Frame]) -> Stack:
    """Sort parallel frames of one size by where they lie.

    Parameters
    ----------
    frames : sequence of Frame
        All placed, of one orientation and size.
    """
    normal = normal_of(frames[0])
    height = {id(frame): float(np.asarray(frame.position) @ normal) for frame in frames}
    places: list[list[Frame]] = []
    last = -np.inf
    for frame in sorted(frames, key=lambda frame: height[id(frame)]):
        if height[id(frame)] - last > _SAME_PLACE_MM:
            places.append([])
            last = height[id(frame)]
        places[-1].append(frame)
    for place in places:
        place.sort(key=_moment)
    return Stack(
        frames=tuple(map(tuple, places)),
        positions=np.array([place[0].position for place in places], dtype=np.float64),
        heights=np.array([height[id(place[0])] for place in places]),
    )


def _moment(frame: Frame) -> tuple[object, ...]:
    """Say when a frame was taken, as far as its file tells."""
    time_point, *others = frame.order
    return time_point, frame.moment_s or 0.0, others, str(frame.path)


def normal_of(frame: Frame) -> NDArray[np.float64]:
    """Give the unit normal of a slice, so that row, column and normal are right-handed."""
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    length = np.linalg.norm(normal)
    return normal / length if length > 0 else normal
