"""What a checkpoint says about itself.

Picking a checkpoint picks everything else: the network and its settings, how an image is
prepared, how windows are laid, what the output channels mean. This module imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from typing_extensions import Self, TypeAlias

from napari_hybridseg.labels import LabelScheme, Organ

CARD_FORMAT = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ZScore(_Frozen):
    """Subtract the volume's own mean, divide by its own standard deviation, per channel."""

    kind: Literal["z-score"] = "z-score"
    nonzero_only: bool = False


class _Clip(_Frozen):
    low: float
    high: float

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}")
        return self


class ClipStandardise(_Clip):
    """Clip to a range, subtract a fixed mean, divide by a fixed standard deviation."""

    kind: Literal["clip-standardise"] = "clip-standardise"
    mean: float
    std: float = Field(gt=0)


class ClipRescale(_Clip):
    """Clip to a range and bring it to 0 ... 1."""

    kind: Literal["clip-rescale"] = "clip-rescale"


class PercentileRescale(_Clip):
    """Clip to two percentiles of the volume itself and bring them to 0 ... 1, per channel."""

    kind: Literal["percentile-rescale"] = "percentile-rescale"
    low: float = Field(default=1.0, ge=0, le=100)
    high: float = Field(default=99.0, ge=0, le=100)


class PercentileStandardise(_Clip):
    """Clip to two percentiles of the volume itself, then as :class:`ZScore`, per channel."""

    kind: Literal["percentile-standardise"] = "percentile-standardise"
    low: float = Field(default=2.0, ge=0, le=100)
    high: float = Field(default=98.0, ge=0, le=100)


class AsIs(_Frozen):
    """Leave the values alone."""

    kind: Literal["as-is"] = "as-is"


ChannelIntensity: TypeAlias = Union[
    ZScore, ClipStandardise, ClipRescale, PercentileRescale, PercentileStandardise, AsIs
]


class PerChannel(_Frozen):
    """Another treatment for each channel, in the order of the volume's channels."""

    kind: Literal["per-channel"] = "per-channel"
    channels: tuple[Annotated[ChannelIntensity, Field(discriminator="kind")], ...]


Intensity: TypeAlias = Union[ChannelIntensity, PerChannel]
Millimetres: TypeAlias = Annotated[float, Field(gt=0)]
Axes: TypeAlias = tuple[Literal[0, 1, 2], Literal[0, 1, 2], Literal[0, 1, 2]]
Spacing: TypeAlias = tuple[Optional[Millimetres], Optional[Millimetres], Optional[Millimetres]]


class Preprocessing(_Frozen):
    """How a volume is brought into the form that the network was trained on.

    Attributes
    ----------
    orientation : str
        ``"LPS"`` or ``"RAS"`` axis codes, or ``"as-stored"`` for the order of the file.
    axes : tuple of int
        The order in which the network sees that orientation's array axes; (0, 1, 2) is
        (Z, Y, X), and (2, 1, 0) is the (X, Y, Z) of networks that were trained with MONAI's
        readers. Windows, mirrored axes and the slice axis count in this order.
    crop_to_nonzero : bool
        Look only at the smallest box that holds every voxel that is not 0 in all channels; the
        rest is background.
    spacing : tuple of float or None
        Millimetres along (x, y, z) of that orientation; None keeps the volume's own, along one
        axis or all.
    shape : tuple of int or None
        Instead of a spacing: the voxels that the volume is brought to, in the order of ``axes``;
        None keeps the volume's own along an axis.
    interpolation : str
        ``"linear"``, or ``"cubic"`` for what nnU-Net does: values are normalised first, then
        interpolated by cubic splines, and across thick slices the nearest one is taken.
    intensity : Intensity
        What is done to the values.
    """

    orientation: Literal["LPS", "RAS", "as-stored"] = "LPS"
    axes: Axes = (0, 1, 2)
    crop_to_nonzero: bool = False
    spacing: Spacing | None = None
    shape: tuple[PositiveInt | None, PositiveInt | None, PositiveInt | None] | None = None
    interpolation: Literal["linear", "cubic"] = "linear"
    intensity: Intensity = Field(default=ZScore(), discriminator="kind")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if sorted(self.axes) != [0, 1, 2]:
            raise ValueError(f"axes names each of 0, 1 and 2 once, not {self.axes}")
        if self.shape is not None and self.spacing is not None:
            raise ValueError("give a spacing or a shape, not both")
        return self


class WindowDefaults(_Frozen):
    """How windows are laid over a volume, unless the user says otherwise.

    Attributes
    ----------
    size : tuple of int
        Voxels (Z, Y, X); a 2D network has 1 along ``slice_axis``.
    overlap : float
        The part of a window that it shares with the next.
    importance : str
        How much a voxel counts by its place in the window.
    mirror_axes : tuple of int
        Array axes (0 is Z) along which mirrored copies may be averaged.
    slice_axis : int or None
        The array axis along which a 2D network goes slice by slice.
    """

    size: tuple[PositiveInt, PositiveInt, PositiveInt]
    overlap: float = Field(default=0.5, ge=0, lt=1)
    importance: Literal["gaussian", "constant"] = "gaussian"
    mirror_axes: tuple[Literal[0, 1, 2], ...] = ()
    slice_axis: Literal[0, 1, 2] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(set(self.mirror_axes)) != len(self.mirror_axes):
            raise ValueError(f"mirror_axes names an axis twice: {self.mirror_axes}")
        if self.slice_axis is not None and self.size[self.slice_axis] != 1:
            raise ValueError(f"a window {self.size} is no slice across axis {self.slice_axis}")
        return self


class DataSource(_Frozen):
    """A data set that the weights were taught from."""

    name: str
    licence: str = ""
    attribution: str = ""
    cases: int = 0
    sha256: str = ""


class Provenance(_Frozen):
    """Where the weights come from.

    ``parent_sha256`` is the file hash of the checkpoint that this one was fine-tuned from;
    ``backbones`` are files of somebody else's weights that parts of the network started from.
    """

    created: str = ""
    software: str = ""
    command: str = ""
    seed: int | None = None
    minutes: float | None = None
    hardware: str = ""
    parent_sha256: str = ""
    data: tuple[DataSource, ...] = ()
    backbones: tuple[DataSource, ...] = ()
    protocol: dict[str, Any] = Field(default_factory=dict)


class OrganResult(_Frozen):
    """What was measured for one organ on cases that training never saw."""

    name: str
    dice: float | None
    hd95_mm: float | None


class Evaluation(_Frozen):
    """What was measured on cases that training never saw."""

    data: str
    cases: int
    mean_dice: float
    mean_hd95_mm: float | None = None
    hd95_convention: str = "monai"
    organs: tuple[OrganResult, ...] = ()


class ModelCard(_Frozen):
    """Everything that a user or a program needs to know about a checkpoint.

    Output channel 0 is background; channel ``i`` is the ``i``-th organ of ``labels``.
    """

    format: int = Field(default=CARD_FORMAT, ge=1, le=CARD_FORMAT)
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    description: str = ""
    architecture: str
    config: dict[str, Any] = Field(default_factory=dict)
    in_channels: int = Field(default=1, ge=1)
    labels: LabelScheme
    modality: str = ""
    preprocessing: Preprocessing = Preprocessing()
    windows: WindowDefaults
    provenance: Provenance = Provenance()
    evaluation: tuple[Evaluation, ...] = ()
    licence: str = ""
    attribution: str = ""
    intended_use: str = "Research only; not a medical device."
    limitations: str = ""

    @property
    def num_classes(self) -> int:
        """Output channels, background included."""
        return len(self.labels.organs) + 1

    @property
    def organ_of_channel(self) -> tuple[Organ, ...]:
        """The organs of output channels 1, 2, ..."""
        return self.labels.organs
