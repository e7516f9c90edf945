"""``hybridseg finetune``: corrected cases in, a better checkpoint out, with the proof."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from napari_hybridseg.cli.console import (
    JsonOption,
    find_checkpoint,
    follow,
    remark,
    write_json,
    write_table,
)
from napari_hybridseg.cli.train import OptionsError, _read_file
from napari_hybridseg.errors import first_problem
from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport, ScoreTable


def finetune(
    source: Annotated[
        Path, typer.Argument(metavar="SET", help="A correction set, or a dataset.json.")
    ],
    checkpoint: Annotated[
        str, typer.Option("-c", "--checkpoint", help="Where to begin: a file, or an installed one.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .safetensors file to write.")],
    strategy: Annotated[
        str | None, typer.Option(help="auto, full, decoder (and head), or norms (and biases).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Be done in this time, scoring included.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of a training.", min=1)] = None,
    rehearse: Annotated[
        Path | None, typer.Option(help="Old cases that are shown in between: a dataset.json.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="What 'Teach here' learnt of the checkpoint; begin with that."),
    ] = None,
    guard: Annotated[
        Path | None, typer.Option(help="Labelled cases that must not get worse.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Parts of the cross-validation; 0 for none.", min=0)
    ] = None,
    options: Annotated[
        Path | None, typer.Option("--options", help="A JSON file with any of the options.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs to train on.", min=1)] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0 takes all.", min=0)] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing checkpoint.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Teach a checkpoint from corrected cases; the same call goes on after an interruption.

    Ctrl-C stops; the next call goes on. The parent checkpoint is never changed.
    """
    from napari_hybridseg.finetune.job import finetune as run

    chosen = _options(
        options,
        strategy=strategy,
        minutes=minutes,
        steps=steps,
        rehearse=rehearse,
        start_from=start_from,
        guard=guard,
        folds=folds,
        seed=seed,
        devices=devices,
        threads=threads,
    )
    command = shlex.join(["hybridseg", *sys.argv[1:]])
    report: FineTuneReport | None = follow(
        run(source, find_checkpoint(checkpoint), out, chosen, command=command, overwrite=overwrite)
    )
    if report is None:  # another process of this run writes it
        return
    if as_json:
        write_json(_as_json(report))
        return
    for table in (report.cases, report.guard):
        if table is not None:
            _write(table)
    remark(report.verdict)
    typer.echo(f"{report.path} ({report.minutes:.1f} minutes, {report.ending})")


def _options(path: Path | None, **given: Any) -> FineTuneOptions:
    content: dict[str, Any] = {} if path is None else _read_file(path)
    content.update({key: value for key, value in given.items() if value is not None})
    try:
        return FineTuneOptions(**content)
    except ValidationError as error:
        raise OptionsError(f"The fine-tuning option {first_problem(error)}.") from error


def _write(table: ScoreTable) -> None:
    rows = [
        (o.name, *map(_number, (o.dice_before, o.dice_after, o.hd95_before_mm, o.hd95_after_mm)))
        for o in table.organs
    ]
    means = (table.dice_before, table.dice_after, table.hd95_before_mm, table.hd95_after_mm)
    write_table(
        f"{table.data}; HD95: convention '{table.hd95_convention}'",
        ("organ", "Dice before", "after", "HD95 mm before", "after"),
        [*rows, ("mean", *map(_number, means))],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _as_json(report: FineTuneReport) -> dict[str, Any]:
    content = report.model_dump(mode="json")
    for name, table in (("cases", report.cases), ("guard", report.guard)):
        if table is not None:
            content[name] |= {
                "dice_before": table.dice_before,
                "dice_after": table.dice_after,
                "gain": table.gain,
            }
    return content
