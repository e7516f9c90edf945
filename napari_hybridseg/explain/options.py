"""What a user can choose about an explanation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["map-to-token", "token-to-map"]


class ExplainOptions(BaseModel):
    """One view of one network; what a view does not need is ignored by it.

    ``views_of`` says which views a checkpoint offers, which places they can be taken of, and
    which of these fields they need.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    view: str = Field(
        default="entropy",
        title="View",
        description="What is shown, e.g. 'token-map' or 'entropy'.",
    )
    place: str | None = Field(
        default=None,
        title="Place",
        description="The block, layer or scale that is looked at, e.g. 'down3.1'; the view's "
        "first where none is given.",
    )
    head: int | None = Field(
        default=None,
        ge=0,
        title="Head",
        description="One attention head, counted from 0; none is the average of all.",
        json_schema_extra={"none_reads": "average"},
    )
    token: int = Field(
        default=0,
        ge=0,
        title="Token",
        description="The semantic token, counted from 0.",
    )
    direction: Direction = Field(
        default="map-to-token",
        title="Direction",
        description="'map-to-token': what each semantic token gathers (softmax over positions); "
        "'token-to-map': which semantic token each voxel reads from (softmax over tokens).",
    )
    point: tuple[float, float, float] | None = Field(
        default=None,
        title="Point",
        description="The clicked place, in LPS millimetres (x, y, z).",
    )
    organ: int | None = Field(
        default=None,
        ge=0,
        title="Organ",
        description="The label number of an organ; for a clicked voxel, none is what the network "
        "says it is.",
    )
    level: int = Field(
        default=0,
        ge=0,
        title="Query level",
        description="The feature map, counted from the finest, whose token is the query.",
    )
    smooth: bool = Field(
        default=False,
        title="Smooth",
        description="Interpolate between the cells of a coarse map instead of showing each cell "
        "as a block of voxels.",
    )
    steps: int = Field(
        default=32,
        ge=2,
        le=1024,
        title="Steps",
        description="Steps of the path that integrated gradients follow: more is more exact and "
        "slower.",
    )
    threshold: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        title="Unsure above",
        description="The part of the largest possible entropy above which a voxel counts as "
        "uncertain.",
    )
    smallest_ml: float = Field(
        default=0.01,
        ge=0,
        title="Smallest region",
        description="Uncertain regions below this volume, in millilitres, are left out.",
    )
    apart_mm: float = Field(
        default=10.0,
        ge=1,
        title="Split regions",
        description="An uncertain region longer than this, in millimetres, is split: a part is "
        "what lies so near to its most uncertain voxel.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        title="Device",
        description="Where the network runs; 'auto' takes a GPU where there is one.",
    )
    overlap: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        title="Overlap",
        description="The part of a window that it shares with the next; none is what the "
        "checkpoint says.",
    )
    importance: Literal["gaussian", "constant"] | None = Field(
        default=None,
        title="Blending",
        description="How overlapping windows are weighed; none is what the checkpoint says.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        title="CPU threads",
        description="Automatic (0) takes all cores, or leaves one to the viewer when there is a "
        "viewer.",
        json_schema_extra={"minimum_reads": "automatic"},
    )
