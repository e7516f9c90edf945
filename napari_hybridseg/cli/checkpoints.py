"""``hybridseg checkpoints``: list, show, verify, export; ``import`` has a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_hybridseg.atomic import write_text
from napari_hybridseg.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from napari_hybridseg.cli.console import (
    JsonOption,
    find_checkpoint,
    remark,
    write_json,
    write_table,
)
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.finetune.lineage import lineage_of
from napari_hybridseg.resources import checkpoints_in, find_checkpoints

checkpoints_app = typer.Typer(
    help="List, show, verify, import and export checkpoints.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="A file, or the name of an installed one.")]


@checkpoints_app.command("list")
def list_checkpoints(as_json: JsonOption = False) -> None:
    """List the checkpoints that are installed."""
    found, broken = [], []
    for path in find_checkpoints():
        try:
            found.append(summary(load_checkpoint(path)))
        except HybridSegError as error:
            broken.append({"file": str(path), "error": str(error)})
    if as_json:
        write_json({"checkpoints": found, "failed": broken})
        return
    write_table(
        "Checkpoints",
        ("name", "architecture", "modality", "organs", "Dice", "HD95 mm", "MB", "licence"),
        (
            (
                e["name"],
                e["architecture"],
                e["modality"],
                ", ".join(e["organs"]),
                e["mean_dice"],
                _distance(e),
                f"{e['megabytes']:.1f}",
                e["licence"],
            )
            for e in found
        ),
    )
    for failure in broken:
        remark(failure["error"])


@checkpoints_app.command("show")
def show(checkpoint: NameArgument, as_json: JsonOption = False) -> None:
    """Show a checkpoint's model card."""
    opened = load_checkpoint(find_checkpoint(checkpoint))
    if as_json:
        write_json(opened.card.model_dump(mode="json"))
    else:
        typer.echo(opened.card.model_dump_json(indent=2))


@checkpoints_app.command("lineage")
def lineage(checkpoint: NameArgument, as_json: JsonOption = False) -> None:
    """Show what a checkpoint was fine-tuned from, youngest first, and where the files are."""
    opened = load_checkpoint(find_checkpoint(checkpoint))
    steps = lineage_of(opened, [*find_checkpoints(), *checkpoints_in(opened.path.parent)])
    if as_json:
        write_json({"lineage": [step.as_json() for step in steps]})
        return
    write_table(
        f"Lineage of {opened.card.name}",
        ("name", "made", "from cases", "Dice before", "after", "sha256", "file"),
        (
            (s.name, s.created, s.cases, s.dice_before, s.dice_after, s.sha256[:12], s.file or "")
            for s in steps
        ),
    )


@checkpoints_app.command("verify")
def verify(checkpoint: NameArgument, as_json: JsonOption = False) -> None:
    """Check that a checkpoint is whole and that its network can be built."""
    path = find_checkpoint(checkpoint)
    verify_checkpoint(path)
    opened = load_checkpoint(path)
    opened.build_network()
    if as_json:
        write_json({"file": str(path), "sha256": opened.sha256, "ok": True})
    else:
        typer.echo(f"{path} is whole. sha256 {opened.sha256}")


@checkpoints_app.command("export")
def export(
    checkpoint: NameArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .safetensors or .json file.")],
    half: Annotated[bool, typer.Option(help="Store the weights as float16.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a checkpoint again, in half precision if wished, or its card alone as JSON."""
    opened = load_checkpoint(find_checkpoint(checkpoint))
    if out.suffix == ".json":
        write_text(out, opened.card.model_dump_json(indent=2), overwrite=overwrite)
    else:
        save_checkpoint(out, opened.weights(), opened.card, half=half, overwrite=overwrite)
    if as_json:
        write_json({"file": str(out), "bytes": out.stat().st_size})
    else:
        typer.echo(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")


def _distance(entry: dict[str, Any]) -> str:
    """Write a mean HD95 with its convention."""
    number = entry["mean_hd95_mm"]
    return "" if number is None else f"{number:.2f} ({entry['hd95_convention']})"


def summary(checkpoint: Checkpoint) -> dict[str, Any]:
    """Give a line about a checkpoint."""
    card = checkpoint.card
    measured = card.evaluation[0] if card.evaluation else None
    return {
        "name": card.name,
        "file": str(checkpoint.path),
        "architecture": card.architecture,
        "modality": card.modality,
        "organs": [organ.name for organ in card.labels.organs],
        "mean_dice": measured and measured.mean_dice,
        "mean_hd95_mm": measured and measured.mean_hd95_mm,
        "hd95_convention": measured and measured.hd95_convention,
        "megabytes": checkpoint.path.stat().st_size / 1e6,
        "licence": card.licence,
    }
