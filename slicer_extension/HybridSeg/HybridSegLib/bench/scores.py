"""Scores in the scene: a table node that holds every number, and is saved with it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from HybridSegLib.bench.tables import fill_table
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
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    fill_table(node, columns, texts=_TEXTS)
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
