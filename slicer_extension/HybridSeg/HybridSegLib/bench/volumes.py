"""Volume nodes as the engine's volumes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from HybridSegLib.bench.node_geometry import geometry_of, rigid_to_world
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.volume import CANONICAL, Volume, VolumeError
from napari_hybridseg.widgets.facts import VolumeFacts


def volume_of(node: Any, under: Any = None) -> Volume:
    """Describe a scalar or vector volume node; its voxels are not copied.

    Parameters
    ----------
    node : vtkMRMLVolumeNode
    under : vtkMRMLTransformableNode or None
        Whose transforms count: a frame inside a sequence has none of its own. None is the node.

    Returns
    -------
    Volume
        Its array (C, Z, Y, X) is a view, in canonical orientation.

    Raises
    ------
    VolumeError
        If the node has no voxels, or a grid that cannot be used.
    """
    stored = _channels_first(node)
    source = geometry_of(node, stored.shape[-3:], under)
    change = source.to_axis_codes(CANONICAL)
    return Volume(
        geometry=source.reoriented(change),
        source=source,
        array=change.apply(stored),
        name=node.GetName(),
        modality=modality_of(node),
        notes=_notes(node),
    )


def facts_of(node: Any) -> VolumeFacts:
    """Say what the panel tells about a volume node."""
    try:
        volume = volume_of(node)
    except VolumeError as error:
        return VolumeFacts(line="", problem=str(error))
    parts = [volume.geometry.describe(), volume.modality]
    degrees = _oblique_degrees(volume.geometry)
    if degrees >= 0.1:
        parts.append(f"oblique by {degrees:.0f}°")
    return VolumeFacts(
        line=" · ".join(part for part in parts if part),
        channels=len(volume.array),
        modality=volume.modality,
        notes=volume.notes,
    )


def modality_of(node: Any) -> str:
    """Give ``"CT"``, ``"MR"``, ... where the node says so, else nothing."""
    given = node.GetAttribute("DICOM.Modality")
    if given:
        return str(given)
    units = node.GetVoxelValueUnits() if node.IsA("vtkMRMLScalarVolumeNode") else None
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return "CT"
    instances = node.GetAttribute("DICOM.instanceUIDs")
    database = getattr(slicer, "dicomDatabase", None)
    if instances and database is not None and database.isOpen:
        return str(database.instanceValue(instances.split()[0], "0008,0060"))
    return ""


def _channels_first(node: Any) -> NDArray[Any]:
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise VolumeError(f"The volume '{node.GetName()}' has no voxels; load it again.")
    array = slicer.util.arrayFromVolume(node)
    return np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]


def _notes(node: Any) -> tuple[str, ...]:
    if rigid_to_world(node) is None:
        return ("A transform bends or stretches this volume; the network sees it without.",)
    return ()


def _oblique_degrees(geometry: Geometry) -> float:
    """Give how far the axis that is farthest off runs off the patient's axes."""
    with contextlib.suppress(ValueError):
        aligned = float(np.abs(geometry.direction_matrix).max(axis=0).min())
        return float(np.degrees(np.arccos(min(aligned, 1.0))))
    return 0.0
