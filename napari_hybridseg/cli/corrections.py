"""``hybridseg corrections``: fill a correction set, look at it, and say what to correct next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.cli.console import (
    JsonOption,
    ResampleOption,
    find_checkpoint,
    follow,
    remark,
    write_json,
    write_table,
)
from napari_hybridseg.corrections import CorrectionCase, CorrectionSet
from napari_hybridseg.corrections.accepting import Correction, accept
from napari_hybridseg.corrections.changing import remove_case
from napari_hybridseg.corrections.exchanging import import_pairs
from napari_hybridseg.corrections.exporting import export_nnunet
from napari_hybridseg.corrections.verifying import verify_set
from napari_hybridseg.counting import counted
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_label_map, load_volume

corrections_app = typer.Typer(
    help="Keep corrected cases in a folder that fine-tuning learns from.", no_args_is_help=True
)

SetArgument = Annotated[Path, typer.Argument(metavar="SET", help="The correction set's folder.")]


@corrections_app.command("add")
def add(
    folder: SetArgument,
    image: Annotated[Path, typer.Argument(help="The image: a file or a DICOM folder.")],
    label: Annotated[Path, typer.Argument(help="Its corrected label map.")],
    network_label: Annotated[
        Path | None, typer.Option("--network-label", help="What the network had made of it.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("-c", "--checkpoint", help="The checkpoint that made that label map."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A JSON file with the organs' names.")] = None,
    resample: ResampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Accept a case; no name of a file or patient goes with it."""
    opened = None if checkpoint is None else load_checkpoint(find_checkpoint(checkpoint))
    scheme = None if labels is None else LabelScheme.from_json(labels)
    if scheme is None and opened is not None:
        scheme = opened.card.labels
    said = None
    if network_label is not None:
        said = load_label_map(network_label, scheme, resample=resample)
    case = accept(
        folder,
        Correction(
            load_volume(image, resample=resample),
            load_label_map(label, scheme, resample=resample),
            said,
            None if opened is None else opened.card,
            "" if opened is None else opened.sha256,
        ),
    )
    if as_json:
        write_json(summary(case))
    else:
        typer.echo(f"{case.name} (revision {case.manifest.revision}) is in {folder}.")
    for note in case.manifest.notes:
        remark(f"Note: {note}")


@corrections_app.command("list")
def list_cases(folder: SetArgument, as_json: JsonOption = False) -> None:
    """List the cases of a set."""
    cases = [summary(case) for case in CorrectionSet.open(folder).cases]
    if as_json:
        write_json({"set": str(folder), "cases": cases})
        return
    write_table(
        str(folder),
        ("case", "revision", "accepted", "modality", "organs", "edited voxels", "notes"),
        (
            (
                case["name"],
                case["revision"],
                case["accepted"],
                case["modality"],
                ", ".join(case["organs"]),
                case["edited_voxels"],
                " ".join(case["notes"]),
            )
            for case in cases
        ),
    )


@corrections_app.command("verify")
def verify(folder: SetArgument, as_json: JsonOption = False) -> None:
    """Check every file of a set; exit code 1 if one is not as it was accepted."""
    report = follow(verify_set(folder))
    if as_json:
        write_json(
            {
                "set": str(folder),
                "ok": report.ok,
                "cases": report.cases,
                "problems": report.problems,
                "notes": report.notes,
            }
        )
    else:
        for note in report.notes:
            remark(f"Note: {note}")
        for problem in report.problems:
            remark(problem)
        if report.ok:
            typer.echo(f"{folder} is whole: {counted(report.cases, 'case')}.")
    raise typer.Exit(0 if report.ok else 1)


@corrections_app.command("remove")
def remove(
    folder: SetArgument,
    case: Annotated[str, typer.Argument(help="Such as case-0003.")],
    as_json: JsonOption = False,
) -> None:
    """Take a case out of a set and delete its files."""
    remove_case(folder, case)
    if as_json:
        write_json({"set": str(folder), "removed": case})
    else:
        typer.echo(f"{case} is no longer in {folder}.")


@corrections_app.command("import")
def import_data_set(
    folder: SetArgument,
    source: Annotated[
        Path, typer.Argument(help="nnU-Net's or the Decathlon's folder, or its dataset.json.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Put the image and label pairs of a data set into a correction set."""
    report = follow(import_pairs(folder, source))
    if as_json:
        write_json({"set": str(folder), "added": report.added, "refused": report.refused})
    else:
        typer.echo(f"{counted(len(report.added), 'case')} came into {folder}.")
    raise typer.Exit(1 if report.refused else 0)


@corrections_app.command("export")
def export(
    folder: SetArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder, e.g. Dataset101_Liver.")],
    as_json: JsonOption = False,
) -> None:
    """Write a set as an nnU-Net data set."""
    report = follow(export_nnunet(folder, out))
    if as_json:
        write_json({"folder": str(out), "cases": report.cases, "left_out": report.left_out})
    else:
        count = len(report.cases)
        typer.echo(f"{counted(count, 'case')} {'is' if count == 1 else 'are'} in {out}.")


@corrections_app.command("rank")
def rank(
    scans: Annotated[Path, typer.Argument(help="A folder of scans without label maps.")],
    checkpoint: Annotated[
        str, typer.Option("-c", "--checkpoint", help="A file, or the name of an installed one.")
    ],
    diversity: Annotated[
        float,
        typer.Option(help="How much it counts against a scan to be nearly a copy.", min=0, max=4),
    ] = 1.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Order scans by what correcting them would teach the network."""
    from napari_hybridseg.corrections.assist.options import RankOptions
    from napari_hybridseg.corrections.assist.ranking import rank as rank_scans
    from napari_hybridseg.corrections.assist.ranking import scans_in

    options = RankOptions(diversity=diversity, threads=threads)
    opened = load_checkpoint(find_checkpoint(checkpoint))
    ranking = follow(rank_scans(scans_in(scans), opened, options))
    rows = [
        {
            "file": str(scan.path),
            "benefit": round(scan.benefit, 4),
            "entropy": round(scan.entropy, 4),
            "disagreement": round(scan.disagreement, 4),
            "novelty": round(scan.novelty, 4),
        }
        for scan in ranking.scans
    ]
    if as_json:
        write_json({"scans": rows, "failed": ranking.failed})
    else:
        names = ("file", "benefit", "entropy", "disagreement", "novelty")
        write_table("Correct these first", names, ([row[n] for n in names] for row in rows))
    raise typer.Exit(1 if ranking.failed else 0)


def summary(case: CorrectionCase) -> dict[str, Any]:
    """Give a line about a case."""
    manifest = case.manifest
    return {
        "name": case.name,
        "folder": str(case.folder),
        "revision": manifest.revision,
        "accepted": manifest.accepted,
        "modality": manifest.modality,
        "organs": [organ.name for organ in case.scheme.organs],
        "edited_voxels": manifest.edited_voxels,
        "edits": [edit.model_dump() for edit in manifest.edits],
        "sha256": case.sha256,
        "checkpoint_sha256": case.checkpoint_sha256,
        "notes": list(manifest.notes),
    }
