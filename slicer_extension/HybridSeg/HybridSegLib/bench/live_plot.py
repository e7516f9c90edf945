"""Loss and Dice of a running fine-tune as a chart in the scene, drawn as they come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from HybridSegLib.bench.tables import add_series, fill_table, show_chart
from napari_hybridseg.older_python import zip

Curves = Mapping[str, Sequence[tuple[int, float]]]

TITLE = "HybridSeg fine-tune"
_MARK = "HybridSeg.Curve"
_S_BETWEEN_DRAWINGS = 0.2


class LivePlot:
    """A chart with a line for each measured number; it takes the place of the last fine-tune's.

    A training measures faster than anybody reads, so the chart is renewed a few times a second.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._chart: Any = None
        self._tables: dict[str, Any] = {}
        self._drawn = 0.0

    def show(self, curves: Curves, *, at_once: bool = False) -> None:
        """Draw what was measured, if the last drawing is old enough."""
        now = time.monotonic()
        is_known = set(curves) <= set(self._tables)
        if not curves or (is_known and not at_once and now - self._drawn < _S_BETWEEN_DRAWINGS):
            return
        self._drawn = now
        if self._chart is None or self._chart.GetScene() is None:
            self._begin()
        for name, points in curves.items():
            table = self._tables.get(name) or self._add(name)
            steps, values = zip(*points, strict=True)
            fill_table(table, {"step": steps, name: values})

    def _begin(self) -> None:
        nodes = self._scene.GetNodes()
        for node in [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]:
            if node.GetAttribute(_MARK):
                self._scene.RemoveNode(node)
        self._tables = {}
        self._chart = self._new("vtkMRMLPlotChartNode", TITLE)
        self._chart.SetTitle(TITLE)
        self._chart.SetXAxisTitle("step")
        self._chart.SetYAxisTitle("loss, Dice")
        show_chart(self._chart)

    def _add(self, name: str) -> Any:
        table = self._tables[name] = self._new("vtkMRMLTableNode", f"{TITLE}: {name}")
        fill_table(table, {"step": (), name: ()})
        series = add_series(self._scene, self._chart, table, name, x="step")
        series.SetAttribute(_MARK, "true")
        return table

    def _new(self, kind: str, name: str) -> Any:
        node = self._scene.AddNewNodeByClass(kind, name)
        node.SetAttribute(_MARK, "true")
        return node
