"""``hybridseg score``: a label map against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_hybridseg.atomic import WriteError, refuse_unwritable, write_text
from napari_hybridseg.cli.console import JsonOption, ResampleOption, remark, write_json, write_table
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import CONVENTIONS, ScoreReport
from napari_hybridseg.metrics import score as score_label_maps
from napari_hybridseg.volume import load_label_map


def score(
    prediction: Annotated[Path, typer.Argument(help="The label map to score.")],
    reference: Annotated[Path, typer.Argument(help="The label map to compare it with.")],
    labels: Annotated[Path | None, typer.Option(help="A JSON file with the organs' names.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="Millimetres that NSD lets a border be off.", min=0.0)
    ] = 1.0,
    convention: Annotated[
        str, typer.Option(help=f"What HD95 means: {' or '.join(CONVENTIONS)}.")
    ] = "monai",
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write a CSV file.")] = None,
    resample: ResampleOption = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing CSV file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give Dice, IoU, the distances between the borders, and volumes per organ."""
    if csv is not None:
        _refuse_csv(csv, overwrite, prediction, reference)
    if convention not in CONVENTIONS:
        raise typer.BadParameter(f"{convention!r}; choose {' or '.join(CONVENTIONS)}")
    scheme = None if labels is None else LabelScheme.from_json(labels)
    report = score_label_maps(
        load_label_map(prediction, scheme, resample=resample),
        load_label_map(reference, scheme, resample=resample),
        tolerance_mm=tolerance,
        convention=convention,  # type: ignore[arg-type]
    )
    if csv is not None:
        write_text(csv, report.to_csv(), overwrite=overwrite)
    if as_json:
        write_json(report.model_dump(mode="json"))
        return
    write_scores(report)


def _refuse_csv(csv: Path, overwrite: bool, *label_maps: Path) -> None:
    for path in label_maps:
        if csv.exists() and path.exists() and csv.samefile(path):
            raise WriteError(f"{csv} is a label map itself; choose another name for its scores.")
    if csv.exists() and not overwrite:
        raise WriteError(f"{csv} exists already; choose another name, or give --overwrite.")
    refuse_unwritable(csv, overwrite)


def write_scores(report: ScoreReport) -> None:
    """Write a report as a table to stdout, its notes to stderr."""
    write_table(
        f"HD95: convention '{report.convention}'; NSD at {report.tolerance_mm:g} mm",
        (
            *("organ", "Dice", "IoU", "HD95 mm", "HD100 mm", "ASSD mm", "NSD"),
            *("volume mL", "reference mL", "difference mL", ""),
        ),
        (
            (
                row["name"],
                _number(row["dice"], 3),
                _number(row["iou"], 3),
                _number(row["hd95_mm"], 2),
                _number(row["hd100_mm"], 2),
                _number(row["assd_mm"], 2),
                _number(row["nsd"], 3),
                _number(row["volume_ml"], 2),
                _number(row["reference_volume_ml"], 2),
                _number(row["volume_difference_ml"], 2, "+"),
                "" if row["status"] in (None, "scored") else row["status"],
            )
            for row in report.rows()
        ),
    )
    for note in report.notes:
        remark(f"Note: {note}")


def _number(value: Any, digits: int, sign: str = "") -> str:
    # what rounds to zero has no sign: -0.0 + 0.0 is 0.0
    return "" if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"
