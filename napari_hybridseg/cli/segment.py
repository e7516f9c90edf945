"""``hybridseg segment``: volumes in, label maps out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import typer
from pydantic import ValidationError

from napari_hybridseg.atomic import WriteError, refuse_unwritable
from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.cli.batch import overlapped
from napari_hybridseg.cli.console import (
    JsonOption,
    ResampleOption,
    find_checkpoint,
    follow,
    remark,
    write_json,
    write_table,
)
from napari_hybridseg.cli.naming import targets_for
from napari_hybridseg.engine.failures import sentence_for
from napari_hybridseg.errors import first_problem
from napari_hybridseg.inference import SegmentOptions
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume, VolumeError, load_volume, save_label_map

_Case = tuple[Path, Path]


def _choice(name: str, *flags: str) -> Any:
    field = SegmentOptions.model_fields[name]
    kinds = (field.annotation, *get_args(field.annotation))
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    said = f"{field.description} One of: {', '.join(words)}." if words else field.description
    return typer.Option(*flags, help=said, show_default=field.default is not None or "the card's")


def segment(
    images: Annotated[list[Path], typer.Argument(help="Image files, DICOM folders.")],
    checkpoint: Annotated[
        str, typer.Option("-c", "--checkpoint", help="A file, or the name of an installed one.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A file, or a folder for several images.")
    ],
    device: Annotated[str, _choice("device", "--device")] = "auto",
    overlap: Annotated[float | None, _choice("overlap", "--overlap")] = None,
    importance: Annotated[str | None, _choice("importance", "--importance")] = None,
    tta: Annotated[bool, _choice("tta", "--tta/--no-tta")] = False,
    body_crop: Annotated[str, _choice("body_crop", "--body-crop")] = "auto",
    precision: Annotated[str, _choice("precision", "--precision")] = "auto",
    backend: Annotated[str, _choice("backend", "--backend")] = "auto",
    threads: Annotated[int, _choice("threads", "--threads")] = 0,
    batch: Annotated[int, _choice("batch", "--batch")] = 0,
    resample: ResampleOption = False,
    moment: Annotated[
        int | None,
        typer.Option("--time", min=1, help="Which volume of a time series or other 4D file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave images whose label map exists.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Segment images; each label map lies on its image's exact grid.

    In a folder a label map is called after its image: scan_labels.nii.gz. Where
    images of several folders share a name, the names of their folders go before
    all names, as many as tell the images apart: p01_scan_labels.nii.gz. Images
    that are given later, with fewer others, are named as the label maps that the
    folder holds of them or of the others. So give all images of a study at once,
    at least the first time.
    """
    from napari_hybridseg.inference.segmenting import runner_for

    options = _options(
        device=device,
        overlap=overlap,
        importance=importance,
        tta=tta,
        body_crop=body_crop,
        precision=precision,
        backend=backend,
        threads=threads,
        batch=batch,
        live=False,
    )
    targets = targets_for(images, out)
    opened = load_checkpoint(find_checkpoint(checkpoint))
    runner = runner_for(opened, opened.build_network())
    batch_run = _Batch(opened, runner, options, resample, moment, overwrite)
    cases = list(zip(images, targets, strict=True))
    skipped = {case for case in cases if skip_existing and case[1].exists()}
    results: dict[_Case, dict[str, Any]] = {case: _skipped(*case) for case in skipped}
    failed = []
    to_do = [case for case in cases if case not in skipped]
    for outcome in overlapped(to_do, batch_run.read, batch_run.make, batch_run.write):
        if outcome.failure is not None:
            failed.append(_failed(outcome.case[0], outcome.failure))
            remark(failed[-1]["error"])
        elif outcome.value is not None:
            results[outcome.case] = outcome.value
    done = [results[case] for case in cases if case in results]
    if as_json:
        write_json({"checkpoint": opened.card.name, "results": done, "failed": failed})
    else:
        _write_summary(done, failed)
    raise typer.Exit(1 if failed else 0)


def _options(**values: Any) -> SegmentOptions:
    try:
        return SegmentOptions(**values)
    except ValidationError as error:
        raise typer.BadParameter(first_problem(error)) from error


@dataclass(frozen=True)
class _Batch:
    """What is done with every image."""

    checkpoint: Checkpoint
    network: Any
    options: SegmentOptions
    resample: bool
    moment: int | None
    overwrite: bool

    def read(self, case: _Case) -> Volume:
        image, target = case
        if target.exists() and image.exists() and target.samefile(image):
            raise WriteError(
                f"{target} is the image itself; choose another name for its label map."
            )
        if target.exists() and not self.overwrite:
            raise WriteError(
                f"{target} exists already; choose another name, or give --overwrite or "
                "--skip-existing."
            )
        refuse_unwritable(target, self.overwrite)
        volume = load_volume(image, resample=self.resample)
        if self.moment is not None:
            return volume.only(self.moment)
        count = len(volume.array)
        may_be_time = volume.channel_axis.kind in ("time", "unstated")
        if may_be_time and count > 1 and self.checkpoint.card.in_channels == 1:
            raise VolumeError(
                f"{image} holds {count} volumes, and {self.checkpoint.card.name} segments one at a "
                f"time; choose one with --time 1 to --time {count}."
            )
        return volume

    def make(self, case: _Case, volume: Volume) -> _Made:
        from napari_hybridseg.inference import segment as segment_volume

        began = time.monotonic()
        for note in volume.notes:
            remark(f"Note: {note}")
        events = segment_volume(volume, self.checkpoint, self.options, network=self.network)
        labels = follow(events, volume.name)
        return _Made(labels, volume.notes, time.monotonic() - began)

    def write(self, case: _Case, made: _Made) -> dict[str, Any]:
        image, target = case
        save_label_map(made.labels, target, overwrite=self.overwrite)
        return {
            "image": str(image),
            "output": str(target),
            "seconds": round(made.seconds, 2),
            "organs_ml": organ_volumes(made.labels),
            "notes": [*made.volume_notes, *made.labels.notes],
        }


@dataclass(frozen=True)
class _Made:
    labels: LabelMap
    volume_notes: tuple[str, ...]
    seconds: float


def _skipped(image: Path, target: Path) -> dict[str, Any]:
    return {"image": str(image), "output": str(target), "skipped": True}


def _failed(image: Path, failure: BaseException) -> dict[str, str]:
    return {"image": str(image), "error": sentence_for(failure)}


def organ_volumes(labels: LabelMap) -> dict[str, float]:
    """Give the millilitres of every organ of the scheme."""
    counts = np.bincount(labels.array.ravel(), minlength=65536)
    ml = labels.geometry.voxel_volume_ml
    return {o.name: round(float(counts[o.id]) * ml, 3) for o in labels.scheme.organs}


def _write_summary(done: list[dict[str, Any]], failed: list[dict[str, str]]) -> None:
    paths = [Path(entry["image"]) for entry in (*done, *failed)]
    are_named_alike = len({path.name for path in paths}) < len(paths)

    def title(entry: dict[str, Any]) -> str:
        return entry["image"] if are_named_alike else Path(entry["image"]).name

    if done:
        write_table(
            "Label maps",
            ("image", "label map", "seconds", "organs (mL)"),
            (
                (
                    title(entry),
                    entry["output"],
                    "skipped" if entry.get("skipped") else entry["seconds"],
                    ", ".join(f"{k} {v:.1f}" for k, v in entry.get("organs_ml", {}).items()),
                )
                for entry in done
            ),
        )
    if failed and len(done) + len(failed) > 1:
        write_table(
            f"Failed: {len(failed)} of {len(done) + len(failed)}",
            ("image", "why"),
            ((title(entry), entry["error"]) for entry in failed),
        )
