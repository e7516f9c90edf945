"""Small volumes and label maps in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer

from napari_hybridseg.labels import LabelScheme, Organ

SHAPE = (12, 20, 16)
SCHEME = LabelScheme(
    name="phantom",
    organs=(
        Organ(id=3, name="liver", colour="#dd8822", snomed="10200004"),
        Organ(id=1, name="spleen", colour="#884499", snomed="78961009"),
        Organ(id=7, name="odd thing", colour="#22aa55"),
        Organ(id=9, name="not found", colour="#101010"),
    ),
)


def turned(angles: tuple[float, float, float], spacing: tuple[float, float, float]) -> Any:
    """Give an IJK to RAS matrix of a turned grid."""
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x @ np.diag(spacing)
    matrix[:3, 3] = (-31.5, 12.25, 7.75)
    return matrix


OBLIQUE = turned((0.2, -0.3, 0.4), (0.8, 0.9, 2.5))
PLAIN = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels() -> Any:
    """Give a label array (K, J, I) with three organs."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:8, 3:9, 2:7] = 3
    array[5:11, 10:17, 8:14] = 1
    array[0:2, 0:3, 12:16] = 7
    return array


def volume(name: str = "scan", matrix: Any = OBLIQUE, array: Any = None) -> Any:
    """Put a volume into the scene."""
    if array is None:
        noise = np.random.default_rng(0).normal(0, 4, SHAPE)
        array = (100.0 * labels() + noise).astype(np.int16)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name=name)


def label_map_node(name: str, array: Any = None, matrix: Any = OBLIQUE) -> Any:
    """Put a label map node into the scene."""
    return slicer.util.addVolumeFromArray(
        labels() if array is None else array,
        ijkToRAS=matrix,
        name=name,
        nodeClassName="vtkMRMLLabelMapVolumeNode",
    )


def save_and_load(bundle: Path) -> None:
    """Save the scene with all its data as a bundle, close it, and open the bundle."""
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)
