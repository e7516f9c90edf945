"""Scores in the scene: a table node that holds every number, and is saved with it."""

from __future__ import annotations

import math
from typing import Any

import slicer
import vtk
from pydantic import BaseModel, ConfigDict

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics.scores import ScoreReport

_TEXTS = ("name", "status")
_SCORE = "HybridSeg.Score"


class Score(BaseModel):
    """A finished comparison, the names of what was compared, and the organs."""

    model_config = ConfigDict(frozen=True)

    report: ScoreReport
    label_map: str
    reference: str
    scheme: LabelScheme


def write_scores(node: Any, score: Score) -> None:
    """Write a comparison into a table node: an organ a row and the mean last, all columns.

    What is not known is NaN. The convention of HD95 and the tolerance of NSD are in the table's
    description.
    """
    report = score.report
    rows = report.rows()
    modifying = node.StartModify()
    node.RemoveAllColumns()
    node.SetLocked(True)
    _use_names_as_headers(node)
    for name in rows[0]:
        node.AddColumn(_column(name, [row[name] for row in rows]))
    node.SetAttribute(_SCORE, score.model_dump_json())
    node.SetDescription(
        f"{score.label_map} against {score.reference}; HD95 by the {report.convention} "
        f"convention, NSD within {report.tolerance_mm:g} mm."
    )
    node.EndModify(modifying)


def read_scores(node: Any) -> Score | None:
    """Give the comparison that a table node was written from; None if it is another table."""
    text = node.GetAttribute(_SCORE) if node is not None else None
    return Score.model_validate_json(text) if text else None


def show_table(node: Any) -> None:
    """Show a table node in Slicer's table view, beside the slices."""
    layout = slicer.util.getNodesByClass("vtkMRMLLayoutNode")
    if layout:
        layout[0].SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveTableID(node.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()


def _use_names_as_headers(node: Any) -> None:
    if hasattr(node, "SetUseColumnTitleAsColumnHeader"):
        node.SetUseColumnTitleAsColumnHeader(True)
    else:  # as it was called before Slicer 5.10
        node.SetUseColumnNameAsColumnHeader(True)


def _column(name: str, values: list[Any]) -> Any:
    if name in _TEXTS:
        column = vtk.vtkStringArray()
        for value in values:
            column.InsertNextValue(value or "")
    else:
        column = vtk.vtkDoubleArray()
        for value in values:
            column.InsertNextValue(math.nan if value is None else float(value))
    column.SetName(name)
    return column
