from __future__ import annotations

from typing import Any

import pytest
from helpers import ORGANS, tiny_card
from pydantic import TypeAdapter, ValidationError

from napari_hybridseg.model_card import (
    ClipRescale,
    ClipStandardise,
    DataSource,
    Evaluation,
    Intensity,
    ModelCard,
    OrganResult,
    PercentileRescale,
    PercentileStandardise,
    Preprocessing,
    Provenance,
    WindowDefaults,
    ZScore,
)

FULL = tiny_card(
    description="grüße",
    modality="CT",
    in_channels=2,
    preprocessing=Preprocessing(
        orientation="RAS",
        spacing=(1.0, 1.5, 3.0),
        intensity=ClipStandardise(low=-100, high=240, mean=40.5, std=60),
    ),
    windows=WindowDefaults(
        size=(1, 64, 64), overlap=0.25, importance="constant", mirror_axes=(1, 2), slice_axis=0
    ),
    provenance=Provenance(
        seed=3, minutes=1.5, data=(DataSource(name="x", cases=4),), protocol={"steps": 10}
    ),
    evaluation=(
        Evaluation(
            data="held-out",
            cases=2,
            mean_dice=0.9,
            organs=(OrganResult(name="liver", dice=0.9, hd95_mm=None),),
        ),
    ),
)


@pytest.mark.parametrize("card", [tiny_card(), FULL], ids=["least", "full"])
def test_a_card_comes_back_from_json(card: ModelCard) -> None:
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_channels_are_background_and_the_organs() -> None:
    assert tiny_card().num_classes == 4
    assert tiny_card().organ_of_channel == ORGANS.organs


@pytest.mark.parametrize(
    "how",
    [
        ZScore(nonzero_only=True),
        ClipRescale(low=0, high=1),
        PercentileRescale(),
        PercentileStandardise(),
    ],
    ids=repr,
)
def test_a_kind_of_normalisation_is_known_by_its_name(how: Intensity) -> None:
    again = Preprocessing.model_validate({"intensity": how.model_dump()}).intensity
    assert again == how
    assert type(again) is type(how)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ModelCard, {"name": ""}),
        (ModelCard, {"name": "two words"}),
        (ModelCard, {"name": "../x"}),
        (ModelCard, {"in_channels": 0}),
        (ModelCard, {"format": 0}),
        (ModelCard, {"format": 99}),
        (ModelCard, {"unheard_of": 1}),
        (WindowDefaults, {"size": (0, 8, 8)}),
        (WindowDefaults, {"size": (8, 8)}),
        (WindowDefaults, {"overlap": 1.0}),
        (WindowDefaults, {"overlap": -0.1}),
        (WindowDefaults, {"importance": "loud"}),
        (WindowDefaults, {"mirror_axes": (3,)}),
        (WindowDefaults, {"mirror_axes": (1, 1)}),
        (WindowDefaults, {"slice_axis": 0}),
        (Preprocessing, {"orientation": "LAS"}),
        (Preprocessing, {"spacing": (1, 0, 1)}),
        (Preprocessing, {"spacing": (1, 1, -1)}),
        (Preprocessing, {"spacing": (1, 1, float("nan"))}),
        (Preprocessing, {"intensity": {"kind": "magic"}}),
        (ClipStandardise, {"std": 0}),
        (ClipStandardise, {"low": 5, "high": 5}),
        (ClipRescale, {"low": 2, "high": 1}),
        (PercentileRescale, {"low": -1}),
        (PercentileRescale, {"low": 60, "high": 50}),
        (PercentileStandardise, {"low": 60, "high": 50}),
    ],
)
def test_what_makes_no_sense_is_refused(kind: type[Any], values: dict[str, Any]) -> None:
    sensible: dict[type, dict[str, Any]] = {
        ModelCard: tiny_card().model_dump(),
        WindowDefaults: {"size": (8, 8, 8)},
        ClipStandardise: {"low": 0, "high": 1, "mean": 0, "std": 1},
        ClipRescale: {"low": 0, "high": 1},
    }
    content = sensible.get(kind, {})
    TypeAdapter(kind).validate_python(content)
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(content | values)


def test_nobody_changes_a_card_by_accident() -> None:
    with pytest.raises(ValidationError):
        tiny_card().name = "other"  # type: ignore[misc]
