"""``hybridseg train``: labelled volumes in, a checkpoint out."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.cli.checkpoints import summary
from napari_hybridseg.cli.console import JsonOption, follow, write_json
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError, first_problem
from napari_hybridseg.presets import preset_train_options
from napari_hybridseg.training import TrainOptions


class OptionsError(HybridSegError):
    """A file of options that cannot be used."""


def train(
    dataset: Annotated[Path, typer.Argument(help="A Decathlon-like dataset.json.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .safetensors file to write.")],
    architecture: Annotated[
        str | None, typer.Option("-a", "--architecture", help="See 'hybridseg architectures'.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A paper's protocol to start from, such as flare2021 or cotr-bcv."),
    ] = None,
    options: Annotated[
        Path | None,
        typer.Option(
            "--options", help="A JSON file with any of the training options (see the docs)."
        ),
    ] = None,
    backbone_weights: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of a public ResNet, DeiT or ViT for TransFuse's branches to start from, "
            "or hf://OWNER/NAME on the Hugging Face hub; may be given twice.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs to train on.", min=1)] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all cores.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing checkpoint.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network from scratch; the same call goes on after an interruption."""
    from napari_hybridseg.inference.devices import cpu_threads
    from napari_hybridseg.training.train import train as train_network

    chosen = _read_options(
        options,
        preset,
        architecture=architecture,
        backbone_weights=backbone_weights or None,
        steps=steps,
        minutes=minutes,
        seed=seed,
        devices=devices,
    )
    with cpu_threads(threads):
        checkpoint: Checkpoint | None = follow(
            train_network(dataset, out, chosen, command=_command(), overwrite=overwrite)
        )
    if checkpoint is None:  # another process of this run writes it
        return
    if as_json:
        write_json(summary(checkpoint))
        return
    typer.echo(f"{checkpoint.path} ({checkpoint.path.stat().st_size / 1e6:.1f} MB)")
    for measured in checkpoint.card.evaluation:
        typer.echo(
            f"{measured.data}: mean Dice {measured.mean_dice:.3f}, "
            f"HD95 {measured.mean_hd95_mm} mm (convention '{measured.hd95_convention}'; "
            f"{counted(measured.cases, 'case')})"
        )


def _read_options(path: Path | None, preset: str | None, **given: Any) -> TrainOptions:
    """Take the preset, change what the file says, then what the command line says."""
    content: dict[str, Any] = {}
    if preset is not None:
        content = preset_train_options(preset, given["architecture"])
    if path is not None:
        content.update(_read_file(path))
    content.update({key: value for key, value in given.items() if value is not None})
    try:
        return TrainOptions(**content)
    except ValidationError as error:
        raise OptionsError(f"The training option {first_problem(error)}.") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionsError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise OptionsError(f"{path} holds no options: one JSON object is needed.")
    return content


def _command() -> str:
    return shlex.join(["hybridseg", *sys.argv[1:]])
