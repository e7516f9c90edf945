"""What can be chosen about a fine-tune; this module imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from typing_extensions import TypeAlias

from napari_hybridseg.training.options import Augmentation

Strategy: TypeAlias = Literal["auto", "full", "decoder", "norms"]


class ScannerAugmentation(BaseModel):
    """How often a window is made to look as if it came from another scanner.

    Every number is a probability. ``transfer`` gives a rehearsed window the values of a corrected
    case, quantile by quantile, and the blur and noise that these cases have, so that old labels
    teach the new look. ``negative`` turns the
    contrast of a corrected window round where nothing is rehearsed, so that the old one is not
    forgotten. Whether the new contrast is the old one turned round is found out: the parent
    segments the cases and their negatives. Where it is not, ``transfer`` keeps the order of the
    values and ``negative`` does nothing. ``histogram`` bends values by a random monotonic curve,
    ``bias`` adds a smooth field, ``low_resolution`` samples the window down and up again.
    Afterwards a window's mean and standard deviation are as before, so this is only for cards
    that normalise each volume by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transfer: float = Field(default=0.5, ge=0, le=1)
    negative: float = Field(default=0.5, ge=0, le=1)
    histogram: float = Field(default=0.3, ge=0, le=1)
    bias: float = Field(default=0.3, ge=0, le=1)
    low_resolution: float = Field(default=0.3, ge=0, le=1)


class FineTuneOptions(BaseModel):
    """Choices of a fine-tune.

    Attributes
    ----------
    strategy : str
        What is trained: ``"full"``, ``"decoder"`` (and head), ``"norms"`` (norms, biases and,
        where the norms have no parameters, a gain per channel). ``"auto"`` takes norms for up to
        three cases that the checkpoint already segments half right if nothing is rehearsed, and
        everything else in full.
    pull : float or None
        How strongly weights are drawn back to where they began (L2-to-start, decoupled): a step
        at rate ``r`` shrinks the distance by ``r * pull``. None chooses: weak with rehearsal,
        strong without.
    start_from : Path or None
        What 'teach here' learnt of this checkpoint and the user kept: the training on all cases
        begins with it added to the checkpoint's weights. The cross-validation begins without it,
        as the strokes may have been drawn on one of the cases.
    rehearse : Path or None
        A ``dataset.json`` or correction set whose cases are shown in between, so that they are
        not forgotten.
    rehearsal_cases, rehearsal_share : int, float
        How many of them, and the part of all windows that is cut from them.
    guard : Path or None
        Labelled cases that are scored before and after: a ``dataset.json``, a correction set, or
        a folder of ``NAME.ext`` and ``NAME_reference.ext``. None takes the held-out or unused
        cases of ``rehearse``, or the parent's own sample.
    guard_cases : int
        At most so many of them.
    guard_tolerance : float
        Mean Dice that may be lost on the guard set before the result counts as worse.
    folds : int
        With three cases or more, the report is cross-validated in so many parts; 0 leaves it
        out, and the report then says that it was measured on the training cases.
    steps, minutes : int, float or None
        Optimiser steps of each training (one per fold and the last on all cases), and a limit to
        the whole job, scoring included, whichever ends first.
    learning_rate : float or None
        The peak; None chooses by the strategy.
    edited : float
        The part of the windows that is centred on a voxel that a person corrected.
    foreground : float
        Of the other windows, the part that is centred on an organ.
    augmentation : Augmentation or None
        None takes the one that the parent's card names, or the default.
    scanner : ScannerAugmentation or None
        None chooses: on where the card normalises each volume by itself, else off.
    check_every : int
        Steps between two measurements, after which the state is saved too.
    patience : int
        Measurements without progress after which a training ends early; 0 never does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy = Field(
        default="auto",
        title="Teach",
        description="What is moved: everything ('full'), the decoder and head, or norms and biases "
        "only; 'auto' takes norms for three cases or fewer, unless old cases are rehearsed or the "
        "checkpoint is lost on them.",
    )
    pull: float | None = Field(default=None, ge=0)
    start_from: Path | None = Field(
        default=None,
        title="Start from",
        description="What 'Teach here' learnt and you kept: the fine-tune begins with it instead "
        "of the checkpoint alone.",
    )
    rehearse: Path | None = Field(
        default=None,
        title="Rehearse",
        description="Old cases that are shown in between, so that they are not forgotten: a "
        "dataset.json or a correction set.",
    )
    rehearsal_cases: int = Field(default=12, ge=1)
    rehearsal_share: float = Field(default=0.67, gt=0, lt=1)
    guard: Path | None = Field(
        default=None,
        title="Guard set",
        description="Labelled cases that are scored before and after; if they get worse, the "
        "result is not recommended.",
    )
    guard_cases: int = Field(default=8, ge=1)
    guard_tolerance: float = Field(default=0.01, ge=0)
    folds: int = Field(
        default=3,
        ge=0,
        title="Cross-validation",
        description="With three cases or more the result is measured in so many parts, each "
        "trained apart; 0 leaves it out.",
    )
    steps: int = Field(
        default=1000, ge=1, title="Steps", description="Optimiser steps of each training."
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        title="Minutes",
        description="The whole job ends in this time, scoring included.",
    )
    batch_size: int = Field(default=2, ge=1)
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    warm_up: float = Field(default=0.05, ge=0, lt=1)
    gradient_clip: float = Field(default=12.0, gt=0)
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    edited: float = Field(default=0.5, ge=0, le=1)
    foreground: float = Field(default=0.67, ge=0, le=1)
    augmentation: Augmentation | None = None
    scanner: ScannerAugmentation | None = None
    check_every: int = Field(default=25, ge=1)
    patience: int = Field(default=20, ge=0)
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int = Field(default=1, ge=1)
    threads: int = Field(default=0, ge=0)
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    half_weights: bool = False
