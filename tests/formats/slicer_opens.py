"""Open a .seg.nrrd with 3D Slicer's own classes, say what it holds, and save it again.

A program of its own, for the Python that has slicer-core: ``slicer_opens.py IN OUT`` prints JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def opened(scene: Any, path: str) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(path)
    if storage.ReadData(node) != 1:
        raise SystemExit("Slicer cannot read it.")
    return node


def described(node: Any, index: int) -> dict[str, Any]:
    segment = node.GetSegmentation().GetNthSegment(index)
    labels, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    node.GetBinaryLabelmapRepresentation(node.GetSegmentation().GetNthSegmentID(index), labels)
    labels.GetImageToWorldMatrix(matrix)
    voxels = vtk_to_numpy(labels.GetPointData().GetScalars())
    return {
        "name": segment.GetName(),
        "colour": segment.GetColor(),
        "value": segment.GetLabelValue(),
        "type": _type_code(segment),
        "voxels": voxels.astype(int).tolist(),
        "shape": labels.GetDimensions()[::-1],
        "affine_ras": [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)],
    }


def _type_code(segment: Any) -> list[str]:
    tag, entry = vtk.reference(""), slicer.vtkSlicerTerminologyEntry()
    segment.GetTag("TerminologyEntry", tag)
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    if not logic.DeserializeTerminologyEntry(str(tag), entry):
        raise SystemExit(f"Slicer does not understand the terminology {tag!s}.")
    kind = entry.GetTypeObject()
    return [kind.GetCodingSchemeDesignator(), kind.GetCodeValue(), kind.GetCodeMeaning()]


def main() -> None:
    scene = slicer.vtkMRMLScene()
    node = opened(scene, sys.argv[1])
    count = node.GetSegmentation().GetNumberOfSegments()
    sys.stdout.write(json.dumps([described(node, index) for index in range(count)]))
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(sys.argv[2])
    if storage.WriteData(node) != 1:
        raise SystemExit("Slicer cannot save it.")


if __name__ == "__main__":
    main()
