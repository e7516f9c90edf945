"""By what a scan is recognised without a name of the patient or the file."""

from __future__ import annotations

import hashlib

import numpy as np

from napari_hybridseg.volume import Volume


def volume_sha256(volume: Volume) -> str:
    """Hash a volume's voxels and grid: the same scan gives the same hash, whatever it is called."""
    array = volume.array
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    spacing = [round(edge, 4) for edge in volume.geometry.spacing]
    digest = hashlib.sha256(f"{plain.dtype.str} {plain.shape} {spacing}".encode())
    digest.update(plain.data)
    return digest.hexdigest()
