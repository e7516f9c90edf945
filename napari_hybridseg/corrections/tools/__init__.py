"""What people expect of a label editor; every tool gives one change, which is one undo step.

A tool works on a whole label map or on one slice of it (`Scope`), takes the voxel spacing in
millimetres in array order (Z, Y, X), and never writes into the arrays it is given. Labels of other
organs are left alone unless a tool is for changing them.
"""

from __future__ import annotations

from napari_hybridseg.corrections.boxes import Change
from napari_hybridseg.corrections.tools.components import (
    keep_largest,
    merge_labels,
    remove_islands,
    split_by_plane,
    split_component,
)
from napari_hybridseg.corrections.tools.interpolation import interpolate_slices
from napari_hybridseg.corrections.tools.painting import brush, limit_to_range
from napari_hybridseg.corrections.tools.scope import VOLUME, Scope
from napari_hybridseg.corrections.tools.surfaces import fill_holes, smooth

__all__ = [
    "VOLUME",
    "Change",
    "Scope",
    "brush",
    "fill_holes",
    "interpolate_slices",
    "keep_largest",
    "limit_to_range",
    "merge_labels",
    "remove_islands",
    "smooth",
    "split_by_plane",
    "split_component",
]
