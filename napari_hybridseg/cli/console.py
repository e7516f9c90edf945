"""What the commands say and where: results on stdout, progress and remarks on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from napari_hybridseg.checkpoint import SUFFIX, CheckpointError, load_checkpoint
from napari_hybridseg.events import Event, Metric, Note, Progress, Result
from napari_hybridseg.resources import find_checkpoints

JsonOption = Annotated[
    bool, typer.Option("--json", help="Write one JSON object to stdout and nothing else.")
]


ResampleOption = Annotated[
    bool,
    typer.Option(
        "--resample",
        help="Bring sheared or unevenly spaced scans onto an even grid instead of refusing them.",
    ),
]


def write_json(content: Any) -> None:
    """Write one JSON object to stdout."""
    typer.echo(json.dumps(content, ensure_ascii=False))


def write_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table to stdout; numbers are right-aligned."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def remark(text: str) -> None:
    """Say something on stderr."""
    typer.echo(text, err=True)


def follow(events: Iterable[Event], what: str = "") -> Any:
    """Run a job to its end and give its result; show a bar where stderr is a terminal."""
    value: Any = None
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task: TaskID | None = None
        stage = ""
        for event in events:
            if isinstance(event, Progress):
                if task is None or event.stage != stage:
                    if task is not None:
                        bar.remove_task(task)
                    task = bar.add_task(f"{event.stage} {what}".strip())
                    stage = event.stage
                bar.update(task, completed=event.done, total=event.total)
            elif isinstance(event, Note):
                remark(f"Note: {event.message}")
            elif isinstance(event, Metric):
                remark(f"step {event.step}: {event.name} {event.value:.4f}")
            elif isinstance(event, Result):
                value = event.value
    return value


def find_checkpoint(wish: str) -> Path:
    """Give the file for a path, or for the name of a checkpoint that is installed.

    Raises
    ------
    CheckpointError
        If there is neither.
    """
    path = Path(wish)
    if path.is_file():
        return path
    installed = find_checkpoints()
    for candidate in installed:
        if wish in (candidate.stem, _name_of(candidate)):
            return candidate
    if path.suffix == SUFFIX or len(path.parts) > 1:
        return path
    known = ", ".join(path.stem for path in installed) or "none is installed"
    raise CheckpointError(f"There is no checkpoint {wish!r}; give a file, or one of: {known}.")


def _name_of(path: Path) -> str:
    try:
        return load_checkpoint(path).card.name
    except CheckpointError:
        return ""
