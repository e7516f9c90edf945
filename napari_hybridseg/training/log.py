"""The losses of a run, in a CSV file beside its checkpoint."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from napari_hybridseg.atomic import WriteError, write_text

COLUMNS = ("step", "seconds", "loss", "learning_rate")


def start_log(path: Path, step: int) -> None:
    """Begin a log, or go on with the one of an interrupted run after its ``step``.

    Raises
    ------
    WriteError
        If the file is something else, or cannot be written.
    """
    rows = [COLUMNS, *(row for row in _rows(path) if int(row[0]) <= step)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue(), overwrite=True)


def append_to_log(path: Path, step: int, seconds: float, loss: float, rate: float) -> None:
    """Add the mean loss since the last line, and the learning rate of the last step.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([step, f"{seconds:.1f}", f"{loss:.5f}", f"{rate:.3g}"])
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}.") from error


def _rows(path: Path) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            heading, *rows = (tuple(row) for row in csv.reader(file))
        if heading == COLUMNS and all(row[0].isdigit() for row in rows):
            return rows
    except (OSError, ValueError, IndexError, csv.Error):
        pass
    raise WriteError(
        f"{path} would be the training log, but is something else; move it, or choose another "
        "name for the checkpoint."
    )
