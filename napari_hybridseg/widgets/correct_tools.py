"""The tools of the Correct section: their names, letters, parameters and what they call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from napari_hybridseg.corrections.boxes import Change, Labels


class ToolChoices(BaseModel):
    """The parameters of all tools.

    Attributes
    ----------
    tool : str
        The tool that is chosen.
    in_slice : bool
        Whether it works on the slice that is shown, or on the whole label map.
    width_mm : float
        Bumps narrower than about this are smoothed away.
    below_ml : float
        Parts smaller than this are islands.
    into : int
        The label that a part, or an organ, becomes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str = "fill-holes"
    in_slice: bool = False
    width_mm: float = Field(default=3.0, gt=0, le=100)
    below_ml: float = Field(default=0.5, gt=0, le=10000)
    into: int = Field(default=0, ge=0, le=65535)


@dataclass(frozen=True)
class Place:
    """What a tool is used on, in canonical order (Z, Y, X).

    Attributes
    ----------
    labels : ndarray
        The working correction.
    organ : int
        The chosen label.
    spacing : tuple of float
        Millimetres.
    axis, index : int
        Across which axis slices are shown, and which one.
    at : tuple of int or None
        The voxel that was clicked, for a tool that needs one.
    """

    labels: Labels
    organ: int
    spacing: tuple[float, float, float]
    axis: int = 0
    index: int = 0
    at: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Tool:
    """One tool; ``asks`` names its parameters, ``clicks`` whether it needs a voxel."""

    key: str
    title: str
    letter: str
    help: str
    run: Callable[[Place, ToolChoices], Change]
    asks: tuple[str, ...] = ()
    clicks: bool = False


def _scope(place: Place, choices: ToolChoices) -> object:
    from napari_hybridseg.corrections.tools import VOLUME, Scope

    return Scope(place.axis, place.index) if choices.in_slice else VOLUME


def _fill_holes(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import fill_holes

    return fill_holes(place.labels, place.organ, _scope(place, choices))  # type: ignore[arg-type]


def _interpolate(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import interpolate_slices

    only = place.index if choices.in_slice else None
    return interpolate_slices(place.labels, place.organ, place.spacing, place.axis, only=only)


def _keep_largest(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import keep_largest

    return keep_largest(place.labels, place.organ, _scope(place, choices))  # type: ignore[arg-type]


def _remove_islands(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import remove_islands

    scope = _scope(place, choices)
    return remove_islands(place.labels, place.organ, choices.below_ml, place.spacing, scope)  # type: ignore[arg-type]


def _smooth(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import smooth

    scope = _scope(place, choices)
    return smooth(place.labels, place.organ, choices.width_mm, place.spacing, scope)  # type: ignore[arg-type]


def _split(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import split_component

    assert place.at is not None
    return split_component(place.labels, place.at, choices.into, _scope(place, choices))  # type: ignore[arg-type]


def _merge(place: Place, choices: ToolChoices) -> Change:
    from napari_hybridseg.corrections.tools import merge_labels

    scope = _scope(place, choices)
    return merge_labels(place.labels, (place.organ,), choices.into, scope)  # type: ignore[arg-type]


# letters that napari leaves free for Labels layers
TOOLS: tuple[Tool, ...] = (
    Tool("fill-holes", "Fill holes", "H", "Fill background that the organ encloses.", _fill_holes),
    Tool(
        "interpolate",
        "Interpolate slices",
        "I",
        "Fill the organ in between the slices of this view in which it is painted; of these, the "
        "slice that is shown alone, where tools work on that.",
        _interpolate,
    ),
    Tool(
        "keep-largest",
        "Keep the largest part",
        "K",
        "Erase all parts but the largest.",
        _keep_largest,
    ),
    Tool(
        "remove-islands",
        "Remove islands",
        "N",
        "Erase parts that are smaller than so many millilitres.",
        _remove_islands,
        ("below_ml",),
    ),
    Tool(
        "smooth",
        "Smooth the surface",
        "U",
        "Smooth away bumps and dents that are narrower than so many millimetres.",
        _smooth,
        ("width_mm",),
    ),
    Tool(
        "split",
        "Split a part off",
        "J",
        "Give the part that you click next to another organ.",
        _split,
        ("into",),
        clicks=True,
    ),
    Tool(
        "merge",
        "Merge into another organ",
        "G",
        "Give the whole organ another label.",
        _merge,
        ("into",),
    ),
)


def tool_of(key: str) -> Tool:
    """Give a tool by its key."""
    return next(tool for tool in TOOLS if tool.key == key)
