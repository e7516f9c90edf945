"""The real engine, kept warm from test to test, and a real patient."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from HybridSegLib.bench.engine_client import EngineClient

SHARED = Path(__file__).resolve().parents[3] / "shared"
WORKER = ("-m", "napari_hybridseg", "worker")


class WarmEngine(EngineClient):
    """An engine that outlives the panels that use it: torch is imported once."""

    def close(self) -> None:
        """Stay, unless a job is left over."""
        if self._run is not None or self._waiting is not None:
            super().close()

    def end(self) -> None:
        """End the process."""
        super().close()


def hippocampus(number: int = 0) -> tuple[Path, Path]:
    """Give the files of a scan and of its labels, or skip."""
    folder = SHARED / "data" / "hippocampus_msd04"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    image = sorted((folder / "images").glob("*.nii.gz"))[number]
    return image, folder / "labels" / image.name


def load(path: Path, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    """Load a file by Slicer's own reader."""
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.partition(".")[0])
    assert storage.ReadData(node)
    return node


def ras_of_header(path: Path) -> Any:
    """Read a NIfTI file's matrix from (i, j, k) to RAS out of its bytes, with nobody's help."""
    header = gzip.decompress(path.read_bytes())[:348]
    assert int.from_bytes(header[254:256], "little") > 0, "it has no sform"
    matrix = np.eye(4)
    matrix[:3] = np.frombuffer(header, "<f4", 12, 280).reshape(3, 4)
    return matrix


def matrix_of(node: Any) -> Any:
    """Give a volume node's matrix from (i, j, k) to RAS."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
