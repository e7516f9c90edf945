"""What can be chosen about a training run; this module imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from napari_hybridseg.model_card import Intensity, Spacing


class Augmentation(BaseModel):
    """How far a training window is varied; angles in degrees, the rest relative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: float = Field(default=0.5, ge=0, le=1)
    rotate: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.15, ge=0, lt=1)
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    noise: float = Field(default=0.1, ge=0)
    brightness: float = Field(default=0.2, ge=0)
    contrast: float = Field(default=0.25, ge=0)
    smooth: float = Field(default=1.0, ge=0)


class TrainOptions(BaseModel):
    """Choices of a training run.

    ``patch_size`` is (Z, Y, X) in voxels of the network's grid; None takes the largest window
    that half of the cases fill, up to 96 voxels a side. ``spacing`` is (x, y, z) in millimetres;
    None keeps each volume's own, along one axis or all. ``minutes`` ends the run early, with the
    learning rate brought down in time. ``backbone_weights`` are files of image classifiers that
    TransFuse's branches start from, or ``hf://OWNER/NAME`` on the Hugging Face hub.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = "utnetv2-3d"
    config: dict[str, Any] = Field(default_factory=dict)
    backbone_weights: tuple[str, ...] = ()
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    orientation: Literal["LPS", "RAS", "as-stored"] = "LPS"
    spacing: Spacing | None = None
    intensity: Intensity | None = Field(default=None, discriminator="kind")
    slice_axis: Literal[0, 1, 2] | None = None
    steps: int = Field(default=2000, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warm_up: float = Field(default=0.05, ge=0, lt=1)
    gradient_clip: float = Field(default=12.0, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    foreground: float = Field(default=0.67, ge=0, le=1)
    augmentation: Augmentation = Augmentation()
    overlap: float = Field(default=0.5, ge=0, lt=1)
    mirror_axes: tuple[Literal[0, 1, 2], ...] = ()
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int = Field(default=1, ge=1)
    limit_cases: int | None = Field(default=None, ge=1)
    half_weights: bool = True
    save_every: int = Field(default=200, ge=1)
    log_every: int = Field(default=100, ge=1)
    description: str = ""
    licence: str = ""
    attribution: str = ""
    limitations: str = ""
    intended_use: str = "Research only; not a medical device."
