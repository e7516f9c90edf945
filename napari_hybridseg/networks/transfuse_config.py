"""The settings of the TransFuse family; the defaults are the full sizes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator
from typing_extensions import Self

from napari_hybridseg.networks.registry import NetworkConfig
from napari_hybridseg.networks.resnet import EXPANSION, GROUPS

PerStage = tuple[PositiveInt, PositiveInt, PositiveInt]

# BiFusion's channel attention squeezes the tokens' channels by these, at 1/16, 1/8 and 1/4.
REDUCTIONS = (4, 2, 1)


class TransFuseConfig(NetworkConfig):
    """Settings of TransFuse-S; the defaults are the paper's.

    Attributes
    ----------
    cnn : {"basic", "bottleneck", "bit"}
        Blocks of the convolution branch: of ResNet-34, of ResNet-50, of ResNetV2-50.
    cnn_layers : tuple of int
        Blocks of its stages at 1/4, 1/8 and 1/16 of the image's size.
    cnn_widths : tuple of int
        Channels of those stages; the rest of the network follows them.
    embed_dim, depth, num_heads, mlp_ratio : int
        Width of the transformer's tokens, its blocks, their heads, and how much wider their
        MLP is.
    grid : tuple of int
        Patches (Y, X) of 16x16 pixels that the position embedding is stored for; images of
        another size get it interpolated.
    drop_rate : float
        Chance of leaving out a channel in training; half of it after each fusion.
    align_corners : bool
        How the logits are brought to the image's size. False for weights that were trained
        with the authors' code from before 23 August 2022, the published ones among them.
    """

    cnn: Literal["basic", "bottleneck", "bit"] = "basic"
    cnn_layers: PerStage = (3, 4, 6)
    cnn_widths: PerStage = (64, 128, 256)
    embed_dim: PositiveInt = 384
    depth: PositiveInt = 8
    num_heads: PositiveInt = 6
    mlp_ratio: PositiveInt = 4
    grid: tuple[PositiveInt, PositiveInt] = (12, 16)
    drop_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    align_corners: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim {self.embed_dim} does not divide among {self.num_heads} heads"
            )
        if self.embed_dim % REDUCTIONS[0]:
            raise ValueError(f"embed_dim is a multiple of {REDUCTIONS[0]}")
        multiple = {"basic": 2, "bottleneck": EXPANSION, "bit": EXPANSION * GROUPS}[self.cnn]
        if any(width % multiple for width in self.cnn_widths):
            raise ValueError(
                f"every width of a {self.cnn!r} branch is a multiple of {multiple}, "
                f"which {self.cnn_widths} are not"
            )
        return self


class TransFuseLConfig(TransFuseConfig):
    """Settings of TransFuse-L as the authors' code has it: ResNet-50 and DeiT-B."""

    cnn: Literal["basic", "bottleneck", "bit"] = "bottleneck"
    cnn_widths: PerStage = (256, 512, 1024)
    embed_dim: PositiveInt = 768
    depth: PositiveInt = 12
    num_heads: PositiveInt = 12


class TransFuseL384Config(TransFuseLConfig):
    """Settings of TransFuse-L for images of 384x512 pixels."""

    grid: tuple[PositiveInt, PositiveInt] = (24, 32)


class TransFuseLStarConfig(TransFuseLConfig):
    """Settings of TransFuse-L*: ResNetV2-50 (BiT) and ViT-B, which the paper names."""

    cnn: Literal["basic", "bottleneck", "bit"] = "bit"
