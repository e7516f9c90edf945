"""The settings of UTNetV2 and MedFormer, with the papers' values as defaults."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from napari_hybridseg.networks.registry import NetworkConfig
from napari_hybridseg.older_python import zip

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PerStage = tuple[Count, Count, Count, Count, Count, Count, Count, Count]
Heads = tuple[Positive, Positive, Positive, Positive, Positive, Positive, Positive, Positive]
Widths = tuple[Positive, Positive, Positive, Positive]
Scales = tuple[tuple[Literal[1, 2], ...], ...]
Fraction = Annotated[float, Field(ge=0, lt=1)]

STAGES = ("down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4")
STAGES_WITHOUT_MAP = (0, 6, 7)

# squeeze and excitation inside the block behind each attention leaves a fourth of its channels
LEAST_WIDE = 4

_ISOTROPIC_2D = ((3, 3),) * 5
_HALVING_2D: Scales = ((2, 2),) * 4
_ANISOTROPIC_3D = ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
_ANISOTROPIC_HALVING_3D: Scales = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


class UTNetFamilyConfig(NetworkConfig):
    """What UTNetV2 and MedFormer, 2D and 3D, have in common.

    Tuples of eight follow the stages down1..down4, up1..up4. Kernels are for the stem and
    down1..down4, and the decoder reuses them mirrored; scales are for down1..down4. Both, and
    ``map_size``, have one number per spatial axis, (Z, Y, X) or (Y, X).

    Attributes
    ----------
    base_channels : int
        Width of the stem.
    encoder_channels : tuple of 4 int, optional
        Width of down1..down4; when not given, 2, 4, 8 and 16 times ``base_channels``. The
        decoder mirrors it.
    kernels, scales : tuple of tuple of int
        Convolution kernels (odd) and downsampling factors (1 or 2).
    conv_blocks, attention_blocks : tuple of 8 int
        Residual blocks and bidirectional attention blocks of each stage.
    heads : tuple of 8 int
        Attention heads of each stage.
    map_size : tuple of int
        Shape of the semantic map; its product is the number of map tokens.
    expansion : int
        Widening inside the inverted residual blocks that follow each attention.
    projection : {"depthwise", "linear"}
        How tokens are projected: by depthwise separable or by 1x1 convolutions.
    fusion_depth, fusion_dim, fusion_heads : int
        Layers, width and heads of the transformer that mixes the maps of three scales.
    fusion_merge : {"dim-major", "head-major"}
        Channel order in which that transformer joins its heads again.
    norm : {"batch", "instance"}
        Instance norm has no learned scale.
    norm_epsilon : float
        Of the norms that belong to a convolution; all other norms use 1e-5.
    activation : {"gelu", "relu"}
        The nonlinearity.
    attention_dropout, drop_path : float
        Regularisation of the map's attention, and of the inverted residual branches.
    """

    dims: ClassVar[Literal[2, 3]]
    variant: ClassVar[Literal["utnetv2", "medformer"]]

    base_channels: PositiveInt = 32
    encoder_channels: Widths | None = None
    kernels: tuple[tuple[Positive, ...], ...]
    scales: Scales
    conv_blocks: PerStage
    attention_blocks: PerStage
    heads: Heads
    map_size: tuple[Positive, ...]
    expansion: PositiveInt
    projection: Literal["depthwise", "linear"] = "depthwise"
    fusion_depth: Count = 2
    fusion_dim: PositiveInt
    fusion_heads: PositiveInt
    fusion_merge: Literal["dim-major", "head-major"] = "dim-major"
    norm: Literal["batch", "instance"]
    norm_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    activation: Literal["gelu", "relu"]
    attention_dropout: Fraction = 0.0
    drop_path: Fraction = 0.0

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Width of each of the eight stages, down1..down4 and up1..up4."""
        down = self.encoder_channels or tuple(self.base_channels * m for m in (2, 4, 8, 16))
        return (*down, *down[2::-1], self.base_channels)

    @model_validator(mode="after")
    def _shapes_match(self) -> UTNetFamilyConfig:
        for name, rows, count in (
            ("kernels", self.kernels, 5),
            ("scales", self.scales, 4),
            ("map_size", (self.map_size,), 1),
        ):
            if len(rows) != count or any(len(row) != self.dims for row in rows):
                raise ValueError(f"{name} needs {count} x {self.dims} numbers, not {rows}")
        if any(length % 2 == 0 for kernel in self.kernels for length in kernel):
            raise ValueError(f"kernels must be odd, not {self.kernels}")
        if self.norm == "instance" and all(length == 1 for length in self.map_size):
            raise ValueError("instance norm needs a map_size of more than one token")
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> UTNetFamilyConfig:
        for stage, channels, heads, blocks in zip(
            STAGES, self.stage_channels, self.heads, self.attention_blocks, strict=True
        ):
            if blocks and channels % heads:
                raise ValueError(f"{heads} heads do not divide the {channels} channels of {stage}")
            if blocks and channels * self.expansion < LEAST_WIDE:
                raise ValueError(
                    f"the {channels} channels of {stage}, widened by {self.expansion}, are too few "
                    f"to squeeze: {LEAST_WIDE} or more"
                )
        if self.fusion_dim % self.fusion_heads:
            raise ValueError(
                f"fusion_heads {self.fusion_heads} does not divide fusion_dim {self.fusion_dim}"
            )
        return self

    @model_validator(mode="after")
    def _attention_has_a_map(self) -> UTNetFamilyConfig:
        for stage in STAGES_WITHOUT_MAP:
            if self.attention_blocks[stage]:
                raise ValueError(
                    f"{STAGES[stage]} has no semantic map, so its attention_blocks must be 0"
                )
        return self

    @model_validator(mode="after")
    def _decoder_narrows(self) -> UTNetFamilyConfig:
        if not is_medformer_3d(self):
            return self
        for stage in range(4, 8):
            if self.conv_blocks[stage] + self.attention_blocks[stage] == 0:
                raise ValueError(f"{STAGES[stage]} needs a block to reach its width")
        return self


class UTNetV2Config2D(UTNetFamilyConfig):
    """UTNetV2 for slices, as trained on ACDC."""

    dims = 2
    variant = "utnetv2"

    kernels: tuple[tuple[Positive, ...], ...] = _ISOTROPIC_2D
    scales: Scales = _HALVING_2D
    conv_blocks: PerStage = (2, 1, 0, 0, 0, 1, 2, 2)
    attention_blocks: PerStage = (0, 1, 2, 2, 2, 1, 0, 0)
    heads: Heads = (1, 4, 8, 16, 8, 4, 1, 1)
    map_size: tuple[Positive, ...] = (2, 2)
    expansion: PositiveInt = 1
    fusion_dim: PositiveInt = 512
    fusion_heads: PositiveInt = 16
    norm: Literal["batch", "instance"] = "batch"
    activation: Literal["gelu", "relu"] = "gelu"


class UTNetV2Config3D(UTNetFamilyConfig):
    """UTNetV2 for volumes, as trained on ACDC, with the paper's parameter count."""

    dims = 3
    variant = "utnetv2"

    kernels: tuple[tuple[Positive, ...], ...] = _ANISOTROPIC_3D
    scales: Scales = _ANISOTROPIC_HALVING_3D
    conv_blocks: PerStage = (2, 1, 0, 0, 0, 1, 2, 2)
    attention_blocks: PerStage = (0, 1, 2, 2, 2, 1, 0, 0)
    heads: Heads = (1, 4, 4, 4, 4, 4, 1, 1)
    map_size: tuple[Positive, ...] = (2, 6, 6)
    expansion: PositiveInt = 1
    fusion_dim: PositiveInt = 512
    fusion_heads: PositiveInt = 4
    norm: Literal["batch", "instance"] = "instance"
    activation: Literal["gelu", "relu"] = "gelu"


class MedFormerConfig2D(UTNetFamilyConfig):
    """MedFormer for slices, as trained on ACDC.

    Attributes
    ----------
    auxiliary_head : bool
        A second output, from up2, that training supervises too.
    """

    dims = 2
    variant = "medformer"

    kernels: tuple[tuple[Positive, ...], ...] = _ISOTROPIC_2D
    scales: Scales = _HALVING_2D
    conv_blocks: PerStage = (2, 0, 0, 0, 0, 0, 2, 2)
    attention_blocks: PerStage = (0, 2, 2, 2, 2, 2, 0, 0)
    heads: Heads = (1, 4, 8, 16, 8, 4, 1, 1)
    map_size: tuple[Positive, ...] = (3, 3)
    expansion: PositiveInt = 2
    fusion_dim: PositiveInt = 512
    fusion_heads: PositiveInt = 16
    norm: Literal["batch", "instance"] = "batch"
    activation: Literal["gelu", "relu"] = "relu"
    auxiliary_head: bool = True


class MedFormerConfig3D(UTNetFamilyConfig):
    """MedFormer for volumes, as trained on ACDC.

    Attributes
    ----------
    auxiliary_head : bool
        A second output, from up2, that training supervises too.
    """

    dims = 3
    variant = "medformer"

    encoder_channels: Widths | None = (64, 128, 256, 320)
    kernels: tuple[tuple[Positive, ...], ...] = _ANISOTROPIC_3D
    scales: Scales = _ANISOTROPIC_HALVING_3D
    conv_blocks: PerStage = (2, 0, 0, 0, 0, 0, 2, 2)
    attention_blocks: PerStage = (0, 2, 2, 2, 2, 2, 0, 0)
    heads: Heads = (1, 4, 4, 4, 4, 4, 1, 1)
    map_size: tuple[Positive, ...] = (2, 6, 6)
    expansion: PositiveInt = 4
    fusion_dim: PositiveInt = 256
    fusion_heads: PositiveInt = 4
    fusion_merge: Literal["dim-major", "head-major"] = "head-major"
    norm: Literal["batch", "instance"] = "instance"
    norm_epsilon: Annotated[float, Field(gt=0)] = 1e-4
    activation: Literal["gelu", "relu"] = "relu"
    auxiliary_head: bool = True


def is_medformer_3d(config: UTNetFamilyConfig) -> bool:
    """Say whether this is the one network of the four whose decoder does not reduce first."""
    return config.variant == "medformer" and config.dims == 3
