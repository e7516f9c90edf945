"""The settings of the baselines; the defaults are those of the papers' comparison tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Union

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import Self

from napari_hybridseg.networks.registry import NetworkConfig
from napari_hybridseg.older_python import zip

Step = Union[PositiveInt, tuple[PositiveInt, ...]]
Chance = Annotated[float, Field(ge=0.0, lt=1.0)]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a kernel has an odd edge, not {kernel}")
    return kernel


OddInt = Annotated[PositiveInt, AfterValidator(_odd)]
Kernel = Union[OddInt, tuple[OddInt, ...]]


def per_axis(step: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """Give a stride or kernel on every axis; one number counts for all of them."""
    return (step,) * dims if isinstance(step, int) else tuple(step)


class BaselineConfig(NetworkConfig):
    """What all baselines can be told.

    Attributes
    ----------
    spatial_dims : {2, 3}
        Axes of the image: (Y, X) or (Z, Y, X).
    """

    spatial_dims: Literal[2, 3] = 3

    def _check_axes(self, steps: Sequence[int | tuple[int, ...]]) -> None:
        for step in steps:
            if len(per_axis(step, self.spatial_dims)) != self.spatial_dims:
                raise ValueError(f"{step} does not have {self.spatial_dims} axes")


class StridedConfig(BaselineConfig):
    """A U-shaped network that is given by its channels and the strides between them.

    Attributes
    ----------
    channels : tuple of int
        Channels of each level, finest first.
    strides : tuple of (int or tuple of int)
        From each level to the next; a tuple gives one stride per axis.
    kernel : int or tuple of int
        Edge of the convolutions, odd.
    dropout : float
        Chance of leaving out a feature in training.
    """

    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2)]
    strides: tuple[Step, ...] = (2, 2, 2, 2)
    kernel: Kernel = 3
    dropout: Chance = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(
                f"{len(self.channels)} channels need {len(self.channels) - 1} strides, "
                f"not {len(self.strides)}"
            )
        self._check_axes((*self.strides, self.kernel))
        return self


class UnetConfig(StridedConfig):
    """MONAI's ``UNet``; 4.81 M parameters as in the 3D UX-Net paper.

    Attributes
    ----------
    num_res_units : int
        Convolutions of each residual unit; 0 for plain blocks.
    """

    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (16, 32, 64, 128, 256)
    num_res_units: NonNegativeInt = 2
    norm: Literal["instance", "batch"] = "instance"
    act: Literal["prelu", "relu", "leakyrelu", "gelu"] = "prelu"


class AttentionUnetConfig(StridedConfig):
    """MONAI's ``AttentionUnet``, in 2D as in the UTNetV2 paper."""

    spatial_dims: Literal[2, 3] = 2
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (32, 64, 128, 256, 512)

    @model_validator(mode="after")
    def _gates_have_channels(self) -> Self:
        if min(self.channels[:-1]) < 2:
            raise ValueError("the gates halve the channels of each level but the last: 2 or more")
        return self


class BasicUnetConfig(BaselineConfig):
    """MONAI's ``BasicUNet``, in 2D as in the UTNetV2 paper.

    Attributes
    ----------
    features : tuple of int
        Channels of the five levels, finest first, and of the last block.
    """

    spatial_dims: Literal[2, 3] = 2
    features: tuple[
        PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt
    ] = (32, 64, 128, 256, 512, 32)
    norm: Literal["instance", "batch"] = "instance"
    upsample: Literal["deconv", "pixelshuffle", "nontrainable"] = "deconv"
    dropout: Chance = 0.0

    @model_validator(mode="after")
    def _can_be_halved(self) -> Self:
        if min(self.features[2:5]) < 2:
            raise ValueError("the decoder halves the features of levels 3 to 5: at least 2 each")
        return self


class UnetPlusPlusConfig(BasicUnetConfig):
    """MONAI's ``BasicUNetPlusPlus``, in 2D as in the UTNetV2 paper.

    Attributes
    ----------
    deep_supervision : bool
        Train a head on each of the four nested decoders, not on the deepest alone.
    """

    deep_supervision: bool = False


class VnetConfig(BaselineConfig):
    """MONAI's ``VNet``; its widths are fixed."""

    dropout: Chance = 0.5


class SegResNetConfig(BaselineConfig):
    """MONAI's ``SegResNet``; 1.18 M parameters as in the 3D UX-Net paper.

    Attributes
    ----------
    init_filters : int
        Channels of the finest level, a multiple of 8 (the groups of the norm).
    """

    init_filters: Annotated[int, Field(gt=0, multiple_of=8)] = 8
    blocks_down: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (1, 2, 2, 4)
    blocks_up: tuple[PositiveInt, ...] = (1, 1, 1)
    dropout: Chance = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.blocks_up) != len(self.blocks_down) - 1:
            raise ValueError("blocks_up has one entry less than blocks_down")
        return self


class UnetrConfig(BaselineConfig):
    """MONAI's ``UNETR``; 92.8 M parameters as in the 3D UX-Net paper.

    Attributes
    ----------
    img_size : tuple of int
        The one window size that the network takes, in voxels, each a multiple of 16.
    """

    img_size: tuple[Annotated[int, Field(gt=0, multiple_of=16)], ...] = (96, 96, 96)
    feature_size: PositiveInt = 16
    hidden_size: PositiveInt = 768
    mlp_dim: PositiveInt = 3072
    num_heads: PositiveInt = 12
    dropout: Chance = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._check_axes((self.img_size,))
        if self.hidden_size % self.num_heads:
            raise ValueError("hidden_size is not a multiple of num_heads")
        return self


class SwinUnetrConfig(BaselineConfig):
    """MONAI's ``SwinUNETR``; 62.2 M parameters as in the 3D UX-Net paper.

    Attributes
    ----------
    feature_size : int
        Channels of the first stage, a multiple of 12.
    """

    feature_size: Annotated[int, Field(gt=0, multiple_of=12)] = 48
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2, 2)
    num_heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 6, 12, 24)
    window_size: PositiveInt = 7
    dropout: Chance = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for stage, heads in enumerate(self.num_heads):
            if (self.feature_size << stage) % heads:
                raise ValueError(
                    f"the {self.feature_size << stage} channels of stage {stage} "
                    f"do not divide among {heads} heads"
                )
        return self


class MedNextConfig(BaselineConfig):
    """MONAI's ``MedNeXt``; the defaults are the paper's MedNeXt-S with kernel 3.

    Attributes
    ----------
    encoder_expansion, decoder_expansion : tuple of int
        How much each stage's blocks widen, in the order in which they run.
    residual : bool
        Whether the blocks between stages have a shortcut, as in the paper.
    """

    init_filters: PositiveInt = 32
    kernel: OddInt = 3
    blocks_down: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    blocks_bottleneck: PositiveInt = 2
    blocks_up: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    encoder_expansion: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    bottleneck_expansion: PositiveInt = 2
    decoder_expansion: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    residual: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        stages = {len(self.blocks_down), len(self.blocks_up)}
        if stages != {len(self.encoder_expansion)} or stages != {len(self.decoder_expansion)}:
            raise ValueError("blocks and expansions have the same number of stages, down and up")
        return self


class DeepConfig(BaselineConfig):
    """An nnU-Net: stages with their own kernel and stride.

    Attributes
    ----------
    channels : tuple of int
        Channels of each stage, finest first.
    kernels, strides : tuple of (int or tuple of int)
        Of each stage; the first stride is usually 1.
    """

    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=3)] = (32, 64, 128, 256, 320, 320)
    kernels: tuple[Kernel, ...] = (3, 3, 3, 3, 3, 3)
    strides: tuple[Step, ...] = (1, 2, 2, 2, 2, 2)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides have one entry for each stage")
        self._check_axes((*self.kernels, *self.strides))
        if any(step != 1 for step in per_axis(self.strides[0], self.spatial_dims)):
            raise ValueError("the first stage keeps the image's grid: its stride is 1")
        return self


class DynUnetConfig(DeepConfig):
    """MONAI's ``DynUNet``, an nnU-Net; 31.2 M parameters as in the 3D UX-Net paper.

    Attributes
    ----------
    deep_supervision : int
        How many coarser levels have a head of their own in training.
    residual : bool
        Residual instead of plain blocks.
    """

    deep_supervision: NonNegativeInt = 3
    residual: bool = False

    @model_validator(mode="after")
    def _kernels_reach(self) -> Self:
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            edges = per_axis(kernel, self.spatial_dims)
            steps = per_axis(stride, self.spatial_dims)
            if any(step > edge + 1 for edge, step in zip(edges, steps, strict=True)):
                raise ValueError(f"a kernel of {kernel} does not reach over a stride of {stride}")
            if self.residual and max(steps) > 2:
                raise ValueError(f"residual blocks take strides of 1 and 2, not {stride}")
        return self

    @model_validator(mode="after")
    def _has_levels_for_heads(self) -> Self:
        if self.deep_supervision > len(self.strides) - 2:
            raise ValueError(
                f"{len(self.strides)} stages have at most {len(self.strides) - 2} coarser levels "
                f"with a head, not {self.deep_supervision}"
            )
        return self


class PlainConvUnetConfig(DeepConfig):
    """nnU-Net's own ``PlainConvUNet``.

    Attributes
    ----------
    blocks : tuple of int
        Convolutions (residual blocks in the residual variant) of each encoder stage.
    decoder_blocks : int
        Convolutions of each decoder stage.
    deep_supervision : bool
        Train a head on each level of the decoder.
    """

    blocks: tuple[PositiveInt, ...] = (2, 2, 2, 2, 2, 2)
    decoder_blocks: PositiveInt = 2
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _has_blocks_for_stages(self) -> Self:
        if len(self.blocks) != len(self.channels):
            raise ValueError(f"{len(self.channels)} stages need {len(self.channels)} blocks")
        return self


class ResidualEncoderUnetConfig(PlainConvUnetConfig):
    """nnU-Net's own ``ResidualEncoderUNet``; the defaults are its "ResEnc M" 3D plan."""

    blocks: tuple[PositiveInt, ...] = (1, 3, 4, 6, 6, 6)
    decoder_blocks: PositiveInt = 1
