"""What organs are called in Slicer's terminologies: coded triplets behind every segment."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from napari_hybridseg.labels import Organ

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMY = "Anatomic codes - DICOM master list"
_NOTHING = "^^"
TISSUE = ("SCT", "85756007", "Tissue")
ANATOMICAL_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")


def entry_for(organ: Organ) -> str:
    """Give the text by which Slicer stores what a segment is.

    An organ without a code of its own is called a tissue, as Slicer does itself.
    """
    if organ.snomed:
        category, kind = ANATOMICAL_STRUCTURE, ("SCT", organ.snomed, organ.name)
    else:
        category = kind = TISSUE
    parts = [_CONTEXT, "^".join(category), "^".join(kind), _NOTHING]
    return "~".join([*parts, _ANATOMY, _NOTHING, _NOTHING])


def code_of(segment: Any) -> str:
    """Give the SNOMED-CT code of a segment's type; empty if it has none that tells something."""
    fields = tag_of(segment, slicer.vtkSegment.GetTerminologyEntryTagName()).split("~")
    triplet = fields[2].split("^") if len(fields) > 2 else []
    if len(triplet) != 3 or triplet[0] != "SCT" or triplet[1] == TISSUE[1]:
        return ""
    return triplet[1]


def tag_of(segment: Any, name: str) -> str:
    """Give a segment's tag; empty if it has none of that name."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
