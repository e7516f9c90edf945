"""``hybridseg checkpoints import``: other people's checkpoints, turned into ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_hybridseg.checkpoint import save_checkpoint
from napari_hybridseg.cli.checkpoints import summary
from napari_hybridseg.cli.console import JsonOption, write_json
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.labels import LabelScheme


class ImportOptionError(HybridSegError):
    """An option of the import that cannot be used."""


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="An authors' file (CBIM, CoTr, TransFuse, 3D UX-Net), or the folder or zip "
            "archive of an nnU-Net v2 trained model or of a MONAI bundle."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .safetensors file to write.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="For an authors' file: the protocol that it was trained with, such as flare2021."
        ),
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("-a", "--architecture", help="What the file must be of.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A JSON file with the organs' numbers and names.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="For an authors' file: settings that neither its weights nor the preset show, "
            """as JSON such as '{"heads": 4}'."""
        ),
    ] = None,
    fold: Annotated[
        list[str] | None, typer.Option(help="For nnU-Net: a fold; may be given several times.")
    ] = None,
    half: Annotated[bool, typer.Option(help="Store the weights as float16.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn somebody else's checkpoint into one of ours; nothing in it is run."""
    from napari_hybridseg.interop import import_checkpoint

    imported = import_checkpoint(
        file,
        preset=preset,
        architecture=architecture,
        labels=None if labels is None else LabelScheme.from_json(labels),
        config=_settings(config),
        folds=fold or None,
    )
    saved = save_checkpoint(out, imported.weights, imported.card, half=half, overwrite=overwrite)
    if as_json:
        write_json(summary(saved))
        return
    typer.echo(f"{saved.path}: {saved.card.description}")
    if saved.card.limitations:
        typer.echo(saved.card.limitations)


def _settings(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ImportOptionError(f"--config is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ImportOptionError("--config takes a JSON table such as '{\"heads\": 4}'.")
    return content
