"""What a view is: data from which faces and the command line are made."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.explain.places import Place

Gives = Literal["map", "labels", "bars", "matrix", "points", "regions"]
Choice = Literal[
    "place",
    "head",
    "token",
    "direction",
    "point",
    "organ",
    "level",
    "smooth",
    "steps",
    "threshold",
    "smallest_ml",
    "apart_mm",
]


class ExplainError(HybridSegError):
    """A view that a network does not offer, or that cannot be made of this volume."""


class View(BaseModel):
    """One thing that can be shown of a network.

    Attributes
    ----------
    name : str
        What an option takes, e.g. ``"token-map"``.
    title, description : str
        What a person reads.
    gives : str
        What the main product is: the picture or chart that a face needs for it.
    needs : tuple of str
        Fields of ``ExplainOptions`` that must be given.
    takes : tuple of str
        Fields that may be given, beside those of ``needs``.
    places : tuple of Place
        What ``place`` may be; empty where there is nothing to choose.
    default_place : str
        What is taken where none is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str
    gives: Gives
    needs: tuple[Choice, ...] = ()
    takes: tuple[Choice, ...] = ()
    places: tuple[Place, ...] = ()
    default_place: str = ""

    @property
    def choices(self) -> frozenset[Choice]:
        """Fields of ``ExplainOptions`` that change what is shown."""
        return frozenset((*self.needs, *self.takes))
