"""What stands in for newer Pythons' own, compared with them."""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
from importlib.metadata import EntryPoint
from typing import Annotated, Any, get_args

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg import older_python
from napari_hybridseg.cli.older_typer import read_annotations
from napari_hybridseg.older_python import own_entry_points, own_pairwise, own_zip

lists = st.lists(st.lists(st.integers(), max_size=4), max_size=4)


def outcome(kind: Any, *iterables: Any, **settings: bool) -> tuple[list[Any], str]:
    """Give what comes, and the complaint in the end."""
    came = []
    try:
        for items in kind(*map(iter, iterables), **settings):
            came.append(items)
    except ValueError as error:
        return came, str(error)
    return came, ""


def test_here_python_does_it_itself() -> None:
    assert older_python.zip is zip
    assert older_python.pairwise is itertools.pairwise
    assert older_python.entry_points is importlib.metadata.entry_points


@given(lists, st.booleans())
def test_zip_is_pythons(iterables: list[list[int]], strict: bool) -> None:
    assert outcome(own_zip, *iterables, strict=strict) == outcome(zip, *iterables, strict=strict)


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ((2, 1), "argument 2 is shorter than argument 1"),
        ((1, 2), "argument 2 is longer than argument 1"),
        ((1, 1, 2), "argument 3 is longer than arguments 1-2"),
        ((2, 2, 0), "argument 3 is shorter than arguments 1-2"),
    ],
)
def test_a_strict_zip_says_who_differs(lengths: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(own_zip(*map(range, lengths), strict=True))


def test_a_zip_takes_only_what_can_be_gone_through_and_waits_to_be_asked() -> None:
    with pytest.raises(TypeError):
        own_zip(1, strict=True)  # type: ignore[arg-type]
    assert next(own_zip(itertools.count(), "ab", strict=True)) == (0, "a")


@given(st.lists(st.integers(), max_size=5))
def test_pairwise_is_pythons(items: list[int]) -> None:
    assert list(own_pairwise(iter(items))) == list(itertools.pairwise(items))


def test_entry_points_are_those_of_the_group_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = EntryPoint("net", "package:NET", "ours")
    found = {"ours": [ours, EntryPoint("net", "package:NET", "ours")], "others": []}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda: found)
    assert tuple(own_entry_points(group="ours")) == (ours,)
    assert tuple(own_entry_points(group="nobodys")) == ()


def test_typer_learns_what_annotations_mean() -> None:
    app, below = typer.Typer(), typer.Typer()
    app.add_typer(below, name="below")

    @below.command()
    def command(much: Annotated[int | None, typer.Option("--much")] = None) -> None:
        """Do nothing."""

    assert isinstance(command.__annotations__["much"], str)
    read_annotations(app)
    much, option = get_args(inspect.signature(command).parameters["much"].annotation)
    assert set(get_args(much)) == {int, type(None)}
    assert option.default == "--much"
