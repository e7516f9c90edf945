"""What can be chosen about repair, teach and rank: light, for faces and jobs."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Box

Spacing = tuple[float, float, float]


class RepairOptions(BaseModel):
    """How a stroke spreads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin_mm: float = Field(
        default=15.0,
        gt=0,
        le=200,
        title="Region (mm)",
        description="How far around the strokes labels may change at most.",
    )
    spread_mm: float = Field(
        default=1.5,
        ge=0,
        le=100,
        title="Spread (mm)",
        description="How far a stroke goes along an error that is thin.",
    )
    reach: float = Field(
        default=1.2,
        ge=0,
        le=10,
        title="Reach",
        description="How much farther it goes in a thick one, in units of its distance to the "
        "nearest voxel that already is what the stroke says.",
    )
    gain: float = Field(
        default=1.4,
        ge=1,
        le=10,
        title="Strength",
        description="How far the network's belief is shifted by a thin stroke inside an error, in "
        "units of how wrong it was under the stroke.",
    )
    painted_gain: float = Field(
        default=0.8,
        ge=0,
        le=10,
        title="Strength of painting",
        description="The same for a stroke that is painted up to the border which it moves: what "
        "is as wrong as the stroke would have been painted too, so less than 1 is enough.",
    )
    edges: float = Field(
        default=4.0,
        ge=0,
        le=100,
        title="Edges (mm)",
        description="How many millimetres of way an edge in the image counts for; more stops "
        "strokes at fainter edges.",
    )
    axis: int | None = Field(
        default=None,
        ge=0,
        le=2,
        title="Only this slice",
        description="Repair the strokes' slices across this array axis alone; empty for 3D.",
    )

    def region(self, strokes: Strokes, shape: tuple[int, ...], spacing: Spacing) -> Box:
        """Give the box around strokes that a repair may change.

        Raises
        ------
        CorrectionError
            If there is no stroke, or one lies outside.
        """
        z, y, x = (
            0 if axis == self.axis else int(np.ceil(self.margin_mm / edge))
            for axis, edge in enumerate(spacing)
        )
        return strokes.box(shape, (z, y, x))


class TeachOptions(BaseModel):
    """How the network learns from strokes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=20, ge=1, le=1000, title="Steps")
    seconds: float = Field(default=20.0, gt=0, title="At most (s)")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, title="Learning rate")
    layers: int = Field(
        default=4,
        ge=1,
        title="Last layers",
        description="How many of the layers that run last may learn.",
    )
    consistency: float = Field(
        default=1.0,
        ge=0,
        title="Consistency",
        description="How much staying with the previous result counts against the strokes.",
    )
    threads: int = Field(default=0, ge=0, title="CPU threads")


class RankOptions(BaseModel):
    """How scans are looked at and ordered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: int = Field(
        default=32,
        ge=1,
        title="Windows a scan",
        description="At most so many windows, spread evenly, are looked at.",
    )
    diversity: float = Field(
        default=1.0,
        ge=0,
        le=4,
        title="Diversity",
        description="How much it counts against a scan to be nearly a copy of one before; 0 orders "
        "by doubt alone.",
    )
    tta: bool = Field(
        default=True,
        title="Mirror",
        description="Also ask mirrored copies, where the checkpoint allows it.",
    )
    device: str = "auto"
    threads: int = Field(default=0, ge=0, title="CPU threads")
