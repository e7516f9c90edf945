"""What a preset is: everything that a paper says about one network on one data set.

This module imports no torch.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import Preprocessing, WindowDefaults


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Optimiser(_Frozen):
    """How the weights are changed; ``momentum`` is of SGD (Nesterov's), ``betas`` of Adam."""

    kind: Literal["adam", "adamw", "sgd"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)


class Schedule(_Frozen):
    """How the learning rate falls; ``warm_up`` is the part of the run in which it rises."""

    kind: Literal["polynomial", "plateau", "constant"]
    power: float = 0.9
    warm_up: float = Field(default=0.0, ge=0, lt=1)


class Variation(_Frozen):
    """How training windows are varied; angles in degrees, the rest relative.

    ``other`` is what a paper does besides, in words.
    """

    probability: float = Field(default=0.5, ge=0, le=1)
    rotate: float = Field(default=0.0, ge=0, le=180)
    scale: float = Field(default=0.0, ge=0, lt=1)
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    noise: float = Field(default=0.0, ge=0)
    brightness: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.0, ge=0)
    smooth: float = Field(default=0.0, ge=0)
    other: str = ""


class Protocol(_Frozen):
    """How a paper trains.

    Attributes
    ----------
    optimiser, schedule : Optimiser, Schedule
        What the weights follow.
    batch_size : int
        Windows a step.
    steps : int or None
        Optimiser steps in all; None where the size of the data set is not published.
    loss : str
        In words.
    variation : Variation
        Augmentation.
    gradient_clip : float or None
        Largest norm of the gradient.
    ema_decay : float
        Of the averaged weights that are kept; 0 keeps the last weights themselves.
    foreground : float or None
        The part of the windows that are centred on an organ.
    """

    optimiser: Optimiser
    schedule: Schedule
    batch_size: int = Field(ge=1)
    steps: int | None = Field(ge=1)
    loss: str
    variation: Variation = Variation()
    gradient_clip: float | None = None
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    foreground: float | None = None


class Preset(_Frozen):
    """One architecture on one data set, as published.

    Attributes
    ----------
    dataset : str
        The short name, e.g. ``"flare2021"``.
    architecture : str
        The network; ``also_for`` are variants that the same protocol was used for.
    config : dict
        Its settings where they are not the architecture's defaults.
    hidden : dict
        Settings of the authors' own weights that a file of weights does not show and that a new
        training does not want, such as a mistake that their weights rely on.
    labels : LabelScheme
        The organs.
    modality : str
        As in a model card.
    preprocessing, windows : Preprocessing, WindowDefaults
        As in a model card, for the authors' weights.
    protocol : Protocol
        How it was trained.
    source : str
        Where the numbers are from, and where paper and code differ, what was taken.
    """

    dataset: str = Field(pattern=r"^[a-z0-9-]+$")
    architecture: str
    also_for: tuple[str, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)
    hidden: dict[str, Any] = Field(default_factory=dict)
    labels: LabelScheme
    modality: str
    preprocessing: Preprocessing
    windows: WindowDefaults
    protocol: Protocol
    source: str

    @property
    def name(self) -> str:
        """What the user types where the data set alone is not enough."""
        return f"{self.architecture}-{self.dataset}"

    def fits(self, architecture: str) -> bool:
        """Say whether the preset is of this architecture or of a variant of it."""
        return architecture in (self.architecture, *self.also_for)
