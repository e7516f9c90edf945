"""Scores in the scene: a table node that holds every number, and is saved with it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from HybridSegLib.bench.tables import fill_table
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics.scores import ScoreReport, compared_csv, compared_json

_TEXTS = ("name", "status")
_SCORE = "HybridSeg.Score"


class Score(BaseModel):
    """A finished comparison, the names of what was compared, and the organs.

    ``rival`` is how another label map compares with the same reference.
    """

    model_config = ConfigDict(frozen=True)

    report: ScoreReport
    label_map: str
    reference: str
    scheme: LabelScheme
    rival: ScoreReport | None = None
    rival_name: str = ""


def as_text(score: Score, *, is_json: bool) -> str:
    """Write every number of a comparison as CSV or JSON."""
    if score.rival is None:
        return score.report.to_json() if is_json else score.report.to_csv()
    both = {score.label_map: score.report, score.rival_name: score.rival}
    return compared_json(both) if is_json else compared_csv(both)


def write_scores(node: Any, score: Score) -> None:
    """Write a comparison into a table node: an organ a row and the mean last, all columns.

    What is not known is NaN. The convention of HD95 and the tolerance of NSD are in the table's
    description.
    """
    report = score.report
    rows = report.rows()
    modifying = node.StartModify()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    about_other = ""
    if score.rival is not None:
        columns |= _other_columns(score.rival, columns["label"])
        about_other = f"; 'other' is {score.rival_name}"
    fill_table(node, columns, texts=_TEXTS)
    node.SetAttribute(_SCORE, score.model_dump_json())
    node.SetDescription(
        f"{score.label_map} against {score.reference}{about_other}; HD95 by the "
        f"{report.convention} convention, NSD within {report.tolerance_mm:g} mm."
    )
    node.EndModify(modifying)


def _other_columns(rival: ScoreReport, labels: list[Any]) -> dict[str, list[Any]]:
    """Give the rival's Dice and HD95 in the order of the first one's rows."""
    found = {row["label"]: row for row in rival.rows()}
    names = ("dice", "hd95_mm")
    return {
        f"other_{name}": [found[label][name] if label in found else None for label in labels]
        for name in names
    }


def read_scores(node: Any) -> Score | None:
    """Give the comparison that a table node was written from; None if it is another table's."""
    text = node.GetAttribute(_SCORE) if node is not None else None
    try:
        return Score.model_validate_json(text) if text else None
    except ValidationError:  # of another version
        return None
