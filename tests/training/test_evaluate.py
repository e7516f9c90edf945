from __future__ import annotations

from typing import Any

import pytest

from napari_hybridseg.metrics import ScoreReport
from napari_hybridseg.training.evaluate import summarise


def report(*organs: dict[str, Any]) -> ScoreReport:
    nothing = dict.fromkeys(("iou", "nsd", "hd100_mm", "assd_mm"))
    volumes = {"volume_ml": 1.0, "reference_volume_ml": 1.0, "status": "scored"}
    return ScoreReport.model_validate(
        {
            "organs": [nothing | volumes | organ for organ in organs],
            "convention": "monai",
            "tolerance_mm": 1.0,
        }
    )


def test_organs_of_one_name_stay_apart() -> None:
    reports = [
        report(
            {"label": 1, "name": "kidney", "dice": left, "hd95_mm": 2.0},
            {"label": 2, "name": "kidney", "dice": right, "hd95_mm": 4.0},
        )
        for left, right in ((0.8, 0.2), (0.6, 0.4))
    ]
    summary = summarise(reports, "two cases")
    assert [(organ.name, organ.dice) for organ in summary.organs] == [
        ("kidney", pytest.approx(0.7)),
        ("kidney", pytest.approx(0.3)),
    ]
    assert summary.mean_dice == pytest.approx(0.5)
    assert summary.mean_hd95_mm == pytest.approx(3.0)
    assert summary.cases == 2


def test_an_organ_that_is_missing_somewhere_counts_where_it_is() -> None:
    summary = summarise(
        [
            report({"label": 1, "name": "liver", "dice": 0.9, "hd95_mm": None}),
            report({"label": 1, "name": "liver", "dice": None, "hd95_mm": None}),
        ],
        "two cases",
    )
    assert summary.organs[0].dice == pytest.approx(0.9)
    assert summary.organs[0].hd95_mm is None
