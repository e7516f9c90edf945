"""``hybridseg explain``: what a network saw, as maps, tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

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
from napari_hybridseg.errors import first_problem
from napari_hybridseg.explain import (
    ExplainError,
    ExplainOptions,
    View,
    find_place,
    find_view,
    views_of,
)
from napari_hybridseg.explain.export import refuse_filled, save_explanations
from napari_hybridseg.explain.figures import can_draw
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import load_volume


def _choice(name: str, *flags: str) -> Any:
    return typer.Option(*flags, help=ExplainOptions.model_fields[name].description)


def explain(
    image: Annotated[
        Path | None, typer.Argument(help="An image file or DICOM folder; none with --list.")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("-c", "--checkpoint", help="A file, or the name of an installed one.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A folder, made where it is missing.")
    ] = None,
    what: Annotated[
        list[str] | None,
        typer.Option("--what", help="A view, or 'all' that can be had; may be given repeatedly."),
    ] = None,
    list_views: Annotated[
        bool, typer.Option("--list", help="Say what the checkpoint offers, and do nothing.")
    ] = False,
    point: Annotated[tuple[float, float, float] | None, _choice("point", "--point")] = None,
    organ: Annotated[
        str | None, typer.Option("--organ", help="An organ, by its name or label number.")
    ] = None,
    place: Annotated[str | None, _choice("place", "--place")] = None,
    head: Annotated[int | None, _choice("head", "--head")] = None,
    token: Annotated[int, _choice("token", "--token")] = 0,
    direction: Annotated[str, _choice("direction", "--direction")] = "map-to-token",
    level: Annotated[int, _choice("level", "--level")] = 0,
    smooth: Annotated[bool, _choice("smooth", "--smooth")] = False,
    steps: Annotated[int, _choice("steps", "--steps")] = 32,
    threshold: Annotated[float, _choice("threshold", "--threshold")] = 0.3,
    smallest_ml: Annotated[float, _choice("smallest_ml", "--smallest-ml")] = 0.01,
    apart_mm: Annotated[float, _choice("apart_mm", "--apart-mm")] = 10.0,
    device: Annotated[str, _choice("device", "--device")] = "auto",
    overlap: Annotated[float | None, _choice("overlap", "--overlap")] = None,
    importance: Annotated[str | None, _choice("importance", "--importance")] = None,
    threads: Annotated[int, _choice("threads", "--threads")] = 0,
    svg: Annotated[bool, typer.Option("--svg", help="Write pictures as SVG too.")] = False,
    resample: ResampleOption = False,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that is not empty.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a network saw in an image: maps on its exact grid, tables and pictures."""
    if not checkpoint:
        raise typer.BadParameter("say which checkpoint with -c")
    opened = load_checkpoint(find_checkpoint(checkpoint))
    if list_views:
        _list(opened.card, as_json)
        return
    if image is None or out is None:
        raise typer.BadParameter("give an image, and a folder with -o")
    choices = {
        "point": point,
        "organ": _organ(opened.card, organ),
        "head": head,
        "token": token,
        "direction": direction,
        "level": level,
        "smooth": smooth,
        "steps": steps,
        "threshold": threshold,
        "smallest_ml": smallest_ml,
        "apart_mm": apart_mm,
        "device": device,
        "overlap": overlap,
        "importance": importance,
        "threads": threads,
    }
    views = _views(opened.card, what or ["entropy"], choices)
    asked = [
        _options(view=view.name, place=where, **choices)
        for view, where in zip(views, _places(views, place), strict=True)
    ]
    refuse_filled(out, overwrite)
    volume = load_volume(image, resample=resample)
    for note in volume.notes:
        remark(f"Note: {note}")
    from napari_hybridseg.explain import explain as explain_volume

    network = opened.build_network()
    results = [
        follow(explain_volume(volume, opened, options, network=network), options.view)
        for options in asked
    ]
    pictures = ("png", "svg") if svg else ("png",)
    index = save_explanations(results, volume, out, pictures=pictures, overwrite=overwrite)
    if not can_draw():
        remark("Note: pictures need matplotlib: pip install 'napari-hybridseg[explain]'.")
    if as_json:
        write_json({"checkpoint": opened.card.name, "folder": str(out)} | index)
        return
    write_table(
        f"In {out}",
        ("view", "file", "what it is"),
        (
            (entry["view"], product["file"], product["title"])
            for entry in index["explanations"]
            for product in entry["products"]
        ),
    )
    for entry in index["explanations"]:
        for name, value in entry["facts"].items():
            remark(f"{entry['view']}: {name}: {value:.4g}")
        for note in entry["notes"]:
            remark(f"{entry['view']}: {note}")


def _views(card: ModelCard, what: list[str], choices: dict[str, Any]) -> list[View]:
    """Look the views up; 'all' are those for which everything that they need was given."""
    if what == ["all"]:
        given = {name for name, value in choices.items() if value is not None}
        return [view for view in views_of(card) if set(view.needs) <= given]
    return [find_view(card, name) for name in dict.fromkeys(what)]


def _places(views: list[View], wish: str | None) -> list[str | None]:
    """Give each view its place: the wish for those that have it, when one at least does."""
    having = [any(place.name == wish for place in view.places) for view in views]
    if wish is not None and not any(having):
        find_place(next((view for view in views if view.places), views[0]), wish)
    return [wish if has else None for has in having]


def _organ(card: ModelCard, wish: str | None) -> int | None:
    if wish is None:
        return None
    for organ in card.labels.organs:
        if wish.lower() in (organ.name.lower(), str(organ.id)):
            return organ.id
    known = ", ".join(f"{organ.id} {organ.name}" for organ in card.labels.organs)
    raise ExplainError(f"{card.name} knows no organ {wish!r}; choose one of: {known}.")


def _options(**values: Any) -> ExplainOptions:
    try:
        return ExplainOptions(**values)
    except ValidationError as error:
        raise typer.BadParameter(first_problem(error)) from error


def _list(card: ModelCard, as_json: bool) -> None:
    offered = views_of(card)
    if as_json:
        write_json({"checkpoint": card.name, "views": [view.model_dump() for view in offered]})
        return
    write_table(
        f"{card.name} ({card.architecture})",
        ("--what", "what it shows", "needs", "--place"),
        (
            (
                view.name,
                view.description,
                ", ".join(f"--{need}" for need in view.needs),
                ", ".join(place.name for place in view.places),
            )
            for view in offered
        ),
    )
