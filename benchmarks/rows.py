"""Reading numbers off the benchmarks' rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]


class NotMeasured(Exception):
    """There is no such number in the rows; the text says why."""


def rows_where(rows: Rows, **wanted: Callable[[Any], bool]) -> list[Row]:
    """Give the rows whose fields are as wanted.

    Raises
    ------
    NotMeasured
        If there is none.
    """
    found = [
        row
        for row in rows
        if not row.get("failure") and all(f in row and is_so(row[f]) for f, is_so in wanted.items())
    ]
    if not found:
        raise NotMeasured("this run did not measure it")
    return found


def field(name: str, **wanted: Callable[[Any], bool]) -> Callable[[Rows], float]:
    """Give what reads one field of the one row that is as wanted."""
    return lambda rows: number(rows_where(rows, **wanted)[0][name])


def quotient(
    above: str,
    below: str,
    choose: Callable[[Iterable[float]], float],
    **wanted: Callable[..., bool],
) -> Callable[[Rows], float]:
    """Give what divides two fields in every row that is as wanted, and takes the worst."""

    def measure(rows: Rows) -> float:
        return choose(number(r[above]) / number(r[below]) for r in rows_where(rows, **wanted))

    return measure


def number(value: Any) -> float:
    """Give a number.

    Raises
    ------
    NotMeasured
        If it is None: the machine could not tell (memory outside Linux).
    """
    if value is None:
        raise NotMeasured("this system does not tell it")
    return float(value)


def has(text: str) -> Callable[[Any], bool]:
    """Give a condition: the field contains this text."""
    return lambda value: text in str(value)


def equals(wanted: Any) -> Callable[[Any], bool]:
    """Give a condition: the field is this."""
    return lambda value: bool(value == wanted)


def differing_voxels(**wanted: Callable[[Any], bool]) -> Callable[[Rows], float]:
    """Give what reads in how many voxels label maps differ, at most."""

    def measure(rows: Rows) -> float:
        told = [str(row["labels"]) for row in rows_where(rows, labels=bool, **wanted)]
        return max(0.0 if text == "identical" else float(text.split()[0]) for text in told)

    return measure
