from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_hybridseg.labels import LabelScheme, LabelSchemeError, Organ, distinct_colour

SCHEME = LabelScheme(
    name="abdomen",
    organs=(
        Organ(id=6, name="liver", colour="#dd8265", snomed="10200004"),
        Organ(id=1, name="Milz ü", colour="#9d6ca2"),
    ),
)


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_our_own_layout_comes_back(tmp_path: Path) -> None:
    assert LabelScheme.from_json(written(tmp_path / "l.json", SCHEME.to_json())) == SCHEME


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "left kidney", "7": "liver"},
        {"background": 0, "left kidney": 1, "liver": 7},
        {"liver": "7", "left kidney": "1"},
    ],
)
def test_the_layouts_of_others_are_understood(tmp_path: Path, labels: dict[str, Any]) -> None:
    path = written(tmp_path / "dataset.json", {"name": "BTCV", "labels": labels})
    scheme = LabelScheme.from_json(path)
    assert scheme.name == "BTCV"
    assert scheme.names == {1: "left kidney", 7: "liver"}
    assert scheme.ids == (1, 7)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "null",
        {},
        {"labels": None},
        {"labels": "liver"},
        {"labels": [1, 2]},
        {"labels": [{"id": 1}]},
        {"labels": [{"id": 0, "name": "x", "colour": "#000000"}]},
        {"labels": [{"id": 1, "name": "x", "colour": "red"}]},
        {"labels": [{"id": 1, "name": "x", "colour": "#000000"}] * 2},
        {"labels": {"1": ""}},
        {"labels": {"70000": "liver"}},
        {"labels": {"-1": "liver"}},
        {"labels": {"whole tumour": [1, 2]}},
        '{"labels": {"liver": Infinity}}',
    ],
    ids=lambda content: str(content)[:40],
)
def test_what_is_no_scheme_gets_one_sentence(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path / "bad.json", content)
    with pytest.raises(LabelSchemeError) as caught:
        LabelScheme.from_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabelSchemeError, match=r"gone\.json holds no label names"):
        LabelScheme.from_json(tmp_path / "gone.json")


def test_two_organs_cannot_share_a_number() -> None:
    organ = SCHEME.organs[0]
    with pytest.raises(ValidationError, match="same number"):
        LabelScheme(organs=(organ, organ))


@given(label=st.integers(1, 65535))
def test_every_number_has_a_colour(label: int) -> None:
    organ = Organ(id=label, name="x", colour=distinct_colour(label))
    assert all(0 <= value <= 255 for value in organ.rgb)
    assert organ.colour == "#{:02x}{:02x}{:02x}".format(*organ.rgb)


def test_neighbouring_colours_are_far_apart() -> None:
    colours = [LabelScheme.for_labels([i]).organ(i).rgb for i in range(1, 16)]
    assert len(set(colours)) == len(colours)
    for one, other in itertools.pairwise(colours):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 100


def test_an_unlisted_number_gets_a_made_up_organ() -> None:
    assert SCHEME.organ(6).name == "liver"
    assert SCHEME.organ(9) == Organ(id=9, name="label 9", colour=distinct_colour(9))


def test_background_is_no_organ() -> None:
    assert LabelScheme.from_names({0: "background", 4: "aorta"}).ids == (4,)
