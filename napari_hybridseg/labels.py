"""What the numbers in a label map mean: names, colours and codes of organs."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from napari_hybridseg.errors import HybridSegError, first_problem

Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]

_GOLDEN_ANGLE = 0.61803398875
_NO_LABELS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class LabelSchemeError(HybridSegError):
    """A label file that cannot be understood."""


class Organ(BaseModel):
    """One label: its number, its name, its colour, its SNOMED-CT code where it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1, le=65535)
    name: str = Field(min_length=1)
    colour: Colour
    snomed: str = ""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three numbers from 0 to 255."""
        return tuple(int(self.colour[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


class LabelScheme(BaseModel):
    """The organs of a label map; 0 is background and is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    organs: tuple[Organ, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> LabelScheme:
        ids = [organ.id for organ in self.organs]
        if len(set(ids)) != len(ids):
            raise ValueError("two organs have the same number")
        return self

    @classmethod
    def from_names(cls, names: Mapping[int, str], name: str = "") -> LabelScheme:
        """Make a scheme from numbers and names, with colours that are easy to tell apart."""
        organs = tuple(
            Organ(id=label, name=text, colour=distinct_colour(label))
            for label, text in sorted(names.items())
            if label != 0
        )
        return cls(name=name, organs=organs)

    @classmethod
    def for_labels(cls, labels: Iterable[int], name: str = "") -> LabelScheme:
        """Make a scheme for labels of which only the numbers are known."""
        return cls.from_names({int(label): f"label {label}" for label in labels}, name)

    @classmethod
    def from_json(cls, path: Path) -> LabelScheme:
        """Read a scheme from a JSON file.

        Two layouts are understood: ours (``{"name", "labels": [{"id", "name", "colour",
        "snomed"}]}``) and the Decathlon's or nnU-Net's ``dataset.json`` (``{"labels": {"1":
        "liver"}}`` or ``{"labels": {"liver": 1}}``).

        Raises
        ------
        LabelSchemeError
            If the file is neither.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            labels = content["labels"]
            if isinstance(labels, list):
                return cls(name=content.get("name", ""), organs=tuple(Organ(**x) for x in labels))
            return cls.from_names(_numbered(labels), content.get("name", ""))
        except _NO_LABELS as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
            raise LabelSchemeError(
                f"{path} holds no label names: a JSON file with a 'labels' list or table is "
                f"needed ({' '.join(reason.split())})."
            ) from error

    @property
    def ids(self) -> tuple[int, ...]:
        """The organs' numbers, in order of the scheme."""
        return tuple(organ.id for organ in self.organs)

    @property
    def names(self) -> dict[int, str]:
        """Number to name."""
        return {organ.id: organ.name for organ in self.organs}

    def organ(self, label: int) -> Organ:
        """Give the organ of a number; one that is not in the scheme gets a made-up name."""
        for organ in self.organs:
            if organ.id == label:
                return organ
        return Organ(id=label, name=f"label {label}", colour=distinct_colour(label))

    def to_json(self) -> str:
        """Write the scheme in our own layout."""
        labels = [organ.model_dump() for organ in self.organs]
        return json.dumps({"name": self.name, "labels": labels}, indent=1)


def distinct_colour(label: int) -> str:
    """Give a saturated colour for a number; neighbouring numbers get far apart hues."""
    hue = (0.02 + label * _GOLDEN_ANGLE) % 1.0
    value = 0.95 if label % 2 else 0.8
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, value)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _numbered(labels: Mapping[str, Any]) -> dict[int, str]:
    if all(str(key).lstrip("-").isdigit() for key in labels):
        return {int(key): str(name) for key, name in labels.items()}
    return {int(number): str(name) for name, number in labels.items()}
