"""Tables and charts in the scene, and bringing them before the user."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import slicer
import vtk

COLOURS = (
    (0.30, 0.67, 0.97),
    (0.41, 0.86, 0.49),
    (1.00, 0.66, 0.30),
    (0.90, 0.29, 0.50),
    (0.69, 0.59, 0.99),
    (0.23, 0.79, 0.86),
    (1.00, 0.88, 0.40),
    (1.00, 0.53, 0.53),
)


def fill_table(node: Any, columns: Mapping[str, Sequence[Any]], texts: Sequence[str] = ()) -> None:
    """Replace a table node's columns; a number that is not known is NaN.

    Parameters
    ----------
    node : vtkMRMLTableNode
    columns : mapping of str to sequence
    texts : sequence of str
        The columns that hold words.
    """
    modifying = node.StartModify()
    node.RemoveAllColumns()
    node.SetLocked(True)
    node.SetUseColumnTitleAsColumnHeader(True)
    for name, values in columns.items():
        node.AddColumn(_column(name, values, is_text=name in texts))
    node.EndModify(modifying)


def add_series(scene: Any, chart: Any, table: Any, column: str, **look: Any) -> Any:
    """Draw a table's column in a chart.

    Parameters
    ----------
    look
        ``x`` and ``labels`` name columns; ``is_bar`` draws bars.
    """
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", column)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetYColumnName(column)
    if "x" in look:
        series.SetPlotType(series.PlotTypeScatter)
        series.SetXColumnName(look["x"])
        series.SetMarkerStyle(series.MarkerStyleNone)
    else:
        series.SetPlotType(series.PlotTypeBar if look.get("is_bar") else series.PlotTypeLine)
    if "labels" in look:
        series.SetLabelColumnName(look["labels"])
    series.SetColor(*COLOURS[chart.GetNumberOfPlotSeriesNodes() % len(COLOURS)])
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return series


def show_table(node: Any) -> None:
    """Show a table node in Slicer's table view, beside the slices."""
    _arrange("SlicerLayoutFourUpTableView")
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveTableID(node.GetID())
    logic.PropagateTableSelection()


def show_chart(chart: Any, table: Any = None) -> None:
    """Show a chart in Slicer's plot view, with the table of its numbers if one is given."""
    _arrange("SlicerLayoutFourUpPlotView" if table is None else "SlicerLayoutFourUpPlotTableView")
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    if table is not None:
        selection.SetActiveTableID(table.GetID())
        logic.PropagateTableSelection()
    selection.SetActivePlotChartID(chart.GetID())
    logic.PropagatePlotChartSelection()


def _arrange(name: str) -> None:
    layout = slicer.util.getNodesByClass("vtkMRMLLayoutNode")
    if layout:
        layout[0].SetViewArrangement(getattr(slicer.vtkMRMLLayoutNode, name))


def _column(name: str, values: Sequence[Any], *, is_text: bool) -> Any:
    if is_text:
        column = vtk.vtkStringArray()
        for value in values:
            column.InsertNextValue(value or "")
    else:
        column = vtk.vtkDoubleArray()
        for value in values:
            column.InsertNextValue(math.nan if value is None else float(value))
    column.SetName(name)
    return column
