"""Explanations in the scene: maps, label maps, sampling points, the window; tables and charts.

All of it lies on the volume's grid, under the volume's transform, and goes when the next
explanation comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from HybridSegLib.bench.colours import colour_node, show_legend
from HybridSegLib.bench.line_models import box_lines, point_rays
from HybridSegLib.bench.node_geometry import ijk_to_ras
from HybridSegLib.bench.points import local_points
from HybridSegLib.bench.segmentations import fill_segmentation, is_free
from HybridSegLib.bench.tables import COLOURS, add_series, fill_table, show_chart, show_table
from napari_hybridseg.explain import (
    Bars,
    Explanation,
    HeatMap,
    Matrix,
    RegionTable,
    SamplingPoints,
    WindowBox,
)
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap

AID = "HybridSeg.Explanation"
_OPACITY = 0.55
_MOST_SERIES = len(COLOURS)
_BOX_COLOUR = (1.0, 0.83, 0.23)


class ExplainNodes:
    """Draws explanations of a volume.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume : vtkMRMLVolumeNode
    """

    def __init__(self, scene: Any, volume: Any) -> None:
        self._scene = scene
        self._volume = volume

    def show(self, explanation: Explanation, source: Geometry) -> None:
        """Put an explanation into the scene, in the place of the last one.

        Parameters
        ----------
        explanation : Explanation
        source : Geometry
            The grid of the volume node, as the engine knew it.
        """
        remove_aids(self._scene)
        table = None
        for product in explanation.products:
            if isinstance(product, HeatMap):
                self._add_map(product)
            elif isinstance(product, LabelMap):
                self._add_labels(product)
            elif isinstance(product, SamplingPoints):
                self._add_points(product, source)
            elif table is None:  # the first one is shown; all are in the scene
                table = self._add_numbers(product)
            else:
                self._add_numbers(product)
        if explanation.window is not None:
            self._add_box(explanation.window, source)
        if isinstance(table, tuple):
            show_chart(*table)
        elif table is not None:
            show_table(table)

    def _add_map(self, heat: HeatMap) -> None:
        title = f"{heat.title} [{heat.unit}]" if heat.unit else heat.title
        node = self._new("vtkMRMLScalarVolumeNode", title, on_volume=True)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(self._volume)))
        array = np.ascontiguousarray(heat.to_source(heat.array), dtype=np.float32)
        slicer.util.updateVolumeFromArray(node, array)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(colour_node(self._scene, heat.scale).GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*contrast_of(heat))
        show_legend(node, title)
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", self._scene):
            composite.SetBackgroundVolumeID(self._volume.GetID())
            composite.SetForegroundVolumeID(node.GetID())
            composite.SetForegroundOpacity(_OPACITY)

    def _add_labels(self, labels: LabelMap) -> None:
        node = self._new("vtkMRMLSegmentationNode", labels.name)
        fill_segmentation(node, labels, self._volume)

    def _add_points(self, points: SamplingPoints, source: Geometry) -> None:
        places = local_points(self._volume, source, points.points_mm)
        query = local_points(self._volume, source, points.query_mm)[0]
        node = self._new("vtkMRMLMarkupsFiducialNode", points.title, on_volume=True)
        modifying = node.StartModify()
        slicer.util.updateMarkupsControlPointsFromArray(node, places, world=False)
        for index, weight in enumerate(points.weights):
            head, level = int(points.head[index]), int(points.level[index])
            outside = "" if points.inside[index] else ", outside the window"
            node.SetNthControlPointLabel(index, f"{weight:.3f}")
            node.SetNthControlPointDescription(
                index,
                f"head {head}, level {level}, point {int(points.point[index])}: "
                f"weight {weight:.4f}{outside}",
            )
        for name in ("weight", "head", "level"):
            values = points.weights if name == "weight" else getattr(points, name)
            _add_measurement(node, name, values)
        node.SetLocked(True)
        node.EndModify(modifying)
        node.CreateDefaultDisplayNodes()
        look = node.GetDisplayNode()
        look.SetPointLabelsVisibility(False)
        look.SetUseGlyphScale(False)
        look.SetGlyphSize(min(self._volume.GetSpacing()))
        look.SetSelectedColor(*COLOURS[0])
        self._add_model(
            f"{points.title} (from the voxel)",
            point_rays(query, places, points.weights, max(self._volume.GetSpacing())),
            weights=(0.0, float(points.weights.max(initial=0.0)) or 1.0),
        )

    def _add_box(self, box: WindowBox, source: Geometry) -> None:
        self._add_model("window", box_lines(local_points(self._volume, source, box.corners_mm)))

    def _add_model(self, name: str, lines: Any, weights: tuple[float, float] | None = None) -> None:
        node = self._new("vtkMRMLModelNode", name, on_volume=True)
        node.SetAndObservePolyData(lines)
        node.CreateDefaultDisplayNodes()
        look = node.GetDisplayNode()
        look.SetVisibility2D(True)
        look.SetLineWidth(2)
        look.SetColor(*_BOX_COLOUR)
        if weights is not None:
            look.SetActiveScalarName("weight")
            look.SetAndObserveColorNodeID(colour_node(self._scene, "sequential").GetID())
            look.SetScalarRangeFlag(look.UseManualScalarRange)
            look.SetScalarRange(*weights)
            look.SetScalarVisibility(True)
            show_legend(node, "weight")

    def _add_numbers(self, product: Bars | Matrix | RegionTable) -> Any:
        table = self._new("vtkMRMLTableNode", product.title)
        if isinstance(product, RegionTable):
            fill_table(table, region_columns(product))
            return table
        chart = self._new("vtkMRMLPlotChartNode", product.title)
        chart.SetTitle(product.title)
        chart.SetYAxisTitle(product.unit)
        if isinstance(product, Bars):
            value = product.unit or "value"
            fill_table(
                table, {"name": product.names, value: product.values.tolist()}, texts=("name",)
            )
            chart.SetXAxisTitle(product.name_title)
            add_series(self._scene, chart, table, value, labels="name", is_bar=True)
        else:
            self._add_matrix(product, table, chart)
        for number in range(chart.GetNumberOfPlotSeriesNodes()):
            chart.GetNthPlotSeriesNode(number).SetAttribute(AID, "true")
        return chart, table

    def _add_matrix(self, matrix: Matrix, table: Any, chart: Any) -> None:
        """Make a line of every column, at most as many as there are colours."""
        names = _unlike(matrix.columns)
        columns = dict(zip(names, matrix.values.T, strict=True))
        fill_table(table, {"name": matrix.rows, **columns}, texts=("name",))
        chart.SetXAxisTitle(matrix.row_title)
        if len(names) > _MOST_SERIES:
            chart.SetTitle(f"{matrix.title} (the first {_MOST_SERIES} of {len(names)} columns)")
        for name in names[:_MOST_SERIES]:
            add_series(self._scene, chart, table, name, labels="name")

    def _new(self, kind: str, title: str, *, on_volume: bool = False) -> Any:
        name = self._scene.GenerateUniqueName(f"{self._volume.GetName()} · {title}")
        node = self._scene.AddNewNodeByClass(kind, name)
        node.SetAttribute(AID, "true")
        if on_volume:
            node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        return node


def remove_aids(scene: Any) -> None:
    """Take an explanation out of the scene; labels that somebody painted in become the user's."""
    nodes = scene.GetNodes()
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    for node in [node for node in found if node.GetAttribute(AID)]:
        if node.IsA("vtkMRMLSegmentationNode") and not is_free(node):
            node.SetAttribute(AID, None)
        else:
            scene.RemoveNode(node)


def contrast_of(heat: HeatMap) -> tuple[float, float]:
    """Give the range of a map's colours: what its numbers can be, or what they are.

    In a map that has a middle a few voxels stand far out: its range is that of all others.
    """
    low, high = heat.limits if heat.limits is not None else (0.0, 0.0)
    if heat.scale == "diverging" and high <= low:
        high = float(np.percentile(np.abs(heat.array), 99.9))
        low = -high
    elif high <= low:
        low, high = float(np.nanmin(heat.array)), float(np.nanmax(heat.array))
    return low, high if high > low else low + 1.0


def region_columns(table: RegionTable) -> dict[str, list[float]]:
    """Lay uncertain regions out in columns, the most uncertain first."""
    return {
        "Region": [region.number for region in table.regions],
        "Volume mL": [region.size_ml for region in table.regions],
        "Mean entropy, nats": [region.mean_entropy for region in table.regions],
        "Peak x, LPS mm": [region.peak_mm[0] for region in table.regions],
        "Peak y, LPS mm": [region.peak_mm[1] for region in table.regions],
        "Peak z, LPS mm": [region.peak_mm[2] for region in table.regions],
    }


def _add_measurement(node: Any, name: str, values: Any) -> None:
    import vtk

    array = vtk.vtkDoubleArray()
    array.SetName(name)
    for value in values:
        array.InsertNextValue(float(value))
    measurement = slicer.vtkMRMLStaticMeasurement()
    measurement.SetName(name)
    measurement.SetControlPointValues(array)
    node.AddMeasurement(measurement)


def _unlike(names: tuple[str, ...]) -> list[str]:
    """Make column names differ, and none be the one of the rows' names."""
    taken: dict[str, int] = {"name": 1}
    found = []
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return found
