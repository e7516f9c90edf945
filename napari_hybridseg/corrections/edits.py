"""What a person changed in the network's label map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.manifest import OrganEdits
from napari_hybridseg.labels import LabelScheme

_NUMBERS = 65536


def edited_mask(
    working: NDArray[np.unsignedinteger], network: NDArray[np.unsignedinteger]
) -> NDArray[np.bool_]:
    """Say for every voxel whether it differs from the network's label.

    Raises
    ------
    CorrectionError
        If the arrays have different shapes.
    """
    if working.shape != network.shape:
        raise CorrectionError(
            f"The correction has {working.shape} voxels and the network's label map "
            f"{network.shape}; they must lie on one grid."
        )
    different: NDArray[np.bool_] = working != network
    return different


def count_edits(
    working: NDArray[np.unsignedinteger],
    network: NDArray[np.unsignedinteger],
    scheme: LabelScheme,
) -> tuple[OrganEdits, ...]:
    """Count the voxels that were added to and removed from each organ; untouched ones are left out.

    Raises
    ------
    CorrectionError
        If the arrays have different shapes.
    """
    return EditCounter(working, network, scheme).organs


class EditCounter:
    """Keeps the counts of a correction while it is painted, box by box.

    Counting a whole volume takes a second; a stroke changes a small box, so only that is counted
    again.

    Parameters
    ----------
    working, network : ndarray
        Shape (Z, Y, X); the counter reads ``network`` and never keeps ``working``.
    scheme : LabelScheme
        The organs' names.
    """

    def __init__(
        self,
        working: NDArray[np.unsignedinteger],
        network: NDArray[np.unsignedinteger],
        scheme: LabelScheme,
    ) -> None:
        self._network = network
        self._scheme = scheme
        self._added, self._removed = self._count(working, network)

    def changed(
        self,
        box: tuple[slice, slice, slice],
        before: NDArray[np.unsignedinteger],
        after: NDArray[np.unsignedinteger],
    ) -> None:
        """Take a change of a box (Z, Y, X) into account."""
        network = self._network[box]
        for values, sign in ((before, -1), (after, 1)):
            added, removed = self._count(values, network)
            self._added += sign * added
            self._removed += sign * removed

    @property
    def edited_voxels(self) -> int:
        """Voxels that differ from the network's label."""
        return int(self._added.sum())

    @property
    def organs(self) -> tuple[OrganEdits, ...]:
        """The counts of the organs that were touched."""
        touched = np.flatnonzero(self._added[1:] + self._removed[1:]) + 1
        return tuple(
            OrganEdits(
                label=int(label),
                name=self._scheme.organ(int(label)).name,
                added=int(self._added[label]),
                removed=int(self._removed[label]),
            )
            for label in touched
        )

    @staticmethod
    def _count(
        working: NDArray[np.unsignedinteger], network: NDArray[np.unsignedinteger]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        mask = edited_mask(working, network)
        return (
            np.bincount(working[mask], minlength=_NUMBERS).astype(np.int64),
            np.bincount(network[mask], minlength=_NUMBERS).astype(np.int64),
        )
