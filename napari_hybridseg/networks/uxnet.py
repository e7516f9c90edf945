"""3D UX-Net: a ConvNeXt-like encoder with large kernels and a residual U-Net decoder.

Source: Lee, Bao, Huo, Landman, "3D UX-Net: A Large Kernel Volumetric ConvNet Modernizing
Hierarchical Transformer for Medical Image Segmentation", ICLR 2023 (arXiv 2209.15076).
The decoder's blocks are MONAI's, as in the paper.

Where the paper's text and its published code differ this file follows the code: one residual
sum per block and the layer norm after the depthwise convolution (equation 1 has two sums and
the norm before), and a learned scale of the residual that the text does not mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from monai.networks.layers.drop_path import DropPath
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.authors_keys import names_by_authors, rename_to_ours
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.registry import Architecture, Constraints, NetworkConfig
from napari_hybridseg.older_python import pairwise, zip

BlockKind = Literal["dcs", "mlp", "legacy"]
PerStage = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
EXPANSION = 4


class UxnetConfig(NetworkConfig):
    """Settings of 3D UX-Net; the defaults are the paper's.

    Attributes
    ----------
    depths : tuple of int
        Blocks of each of the four stages.
    feature_sizes : tuple of int
        Channels of each stage; the first is the width of the stem and of the last decoder block.
    hidden_size : int
        Channels at the bottom of the decoder.
    kernel : int
        Edge of the depthwise kernel, odd, from 3 to 13.
    block : {"dcs", "mlp", "legacy"}
        What follows the depthwise convolution: each channel widened on its own (the paper's
        depthwise convolution scaling), a full linear layer, or a full 1x1x1 convolution (the
        code that the authors published before 26 October 2022).
    drop_path : float
        Largest chance of leaving out a block in training, reached in the last one.
    layer_scale : float
        Where the learned scale of each block's residual starts.
    """

    depths: PerStage = (2, 2, 2, 2)
    feature_sizes: PerStage = (48, 96, 192, 384)
    hidden_size: PositiveInt = 768
    kernel: Literal[3, 5, 7, 9, 11, 13] = 7
    block: BlockKind = "dcs"
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    layer_scale: float = Field(default=1e-6, ge=0.0)


def _channels_last(features: Tensor) -> Tensor:
    """View (N, C, Z, Y, X) as (N, Z, Y, X, C); ``movedim`` would not be exported to ONNX."""
    return features.permute(0, 2, 3, 4, 1)


def _channels_second(features: Tensor) -> Tensor:
    return features.permute(0, 4, 1, 2, 3)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, Z, Y, X)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each voxel over its channels."""
        return _channels_second(super().forward(_channels_last(features)))


class VoxelLinear(nn.Linear):
    """A linear layer over the channels of (N, C, Z, Y, X)."""

    def forward(self, features: Tensor) -> Tensor:
        """Map each voxel's channels."""
        return _channels_second(super().forward(_channels_last(features)))


def _pointwise(kind: BlockKind, channels: int, inputs: int, outputs: int) -> nn.Module:
    if kind == "mlp":
        return VoxelLinear(inputs, outputs)
    groups = channels if kind == "dcs" else 1
    return nn.Conv3d(inputs, outputs, kernel_size=1, groups=groups)


class UxBlock(nn.Module):
    """Depthwise convolution, norm, widen, GELU, narrow, scale, and add the input."""

    def __init__(
        self,
        channels: int,
        kernel: int = 7,
        kind: BlockKind = "dcs",
        layer_scale: float = 1e-6,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.kind: BlockKind = kind
        self.depthwise = nn.Conv3d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = ChannelNorm(channels)
        self.widen = _pointwise(kind, channels, channels, wide)
        self.narrow = _pointwise(kind, channels, wide, channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, Z, Y, X) to the same shape."""
        normed = self.norm(self.depthwise(features))
        if self.kind == "dcs":
            residual = self._scale_channels(normed)
        else:
            residual = self.narrow(functional.gelu(self.widen(normed)))
        return features + self.drop_path(self.gamma.view(-1, 1, 1, 1) * residual)

    def _scale_channels(self, features: Tensor) -> Tensor:
        """Widen and narrow each channel on its own, as sums of products.

        Run as the grouped 1x1x1 convolutions that they are, they would take longer, and four
        times the memory for what is between them.
        """
        wide = (-1, EXPANSION, 1, 1, 1)
        parameters = (self.widen.weight, self.widen.bias, self.narrow.weight, self.narrow.bias)
        *widening, offset = (cast("Tensor", parameter) for parameter in parameters)
        weights, shifts, shares = (parameter.view(wide).unbind(1) for parameter in widening)
        total = offset.view(-1, 1, 1, 1)
        for weight, shift, share in zip(weights, shifts, shares, strict=True):
            total = torch.addcmul(
                total, functional.gelu(torch.addcmul(shift, features, weight)), share
            )
        return total


class UxBackbone(nn.Module):
    """The four stages of blocks, at 1/2, 1/4, 1/8 and 1/16 of the image's size."""

    def __init__(self, in_channels: int, config: UxnetConfig) -> None:
        super().__init__()
        sizes = config.feature_sizes
        # the authors' stem keeps a kernel of 7 whatever the blocks' kernel
        stem = nn.Sequential(
            nn.Conv3d(in_channels, sizes[0], kernel_size=7, stride=2, padding=3),
            ChannelNorm(sizes[0]),
        )
        halvings = (
            nn.Sequential(ChannelNorm(fine), nn.Conv3d(fine, coarse, kernel_size=2, stride=2))
            for fine, coarse in pairwise(sizes)
        )
        self.downsamplings = nn.ModuleList([stem, *halvings])
        rates = iter(torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist())
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    UxBlock(size, config.kernel, config.block, config.layer_scale, next(rates))
                    for _ in range(depth)
                )
            )
            for size, depth in zip(sizes, config.depths, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(size) for size in sizes)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the normalised output of each stage, finest first."""
        outputs = []
        features = image
        for downsample, stage, norm in zip(
            self.downsamplings, self.stages, self.norms, strict=True
        ):
            features = stage(downsample(features))
            outputs.append(norm(features))
        return tuple(outputs)


def _basic_block(inputs: int, outputs: int) -> nn.Module:
    return UnetrBasicBlock(
        3, inputs, outputs, kernel_size=3, stride=1, norm_name="instance", res_block=True
    )


def _up_block(inputs: int, outputs: int) -> nn.Module:
    return UnetrUpBlock(
        3,
        inputs,
        outputs,
        kernel_size=3,
        upsample_kernel_size=2,
        norm_name="instance",
        res_block=True,
    )


class Uxnet(SegmentationNetwork):
    """3D UX-Net.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    config : UxnetConfig
        Settings.
    """

    def __init__(self, in_channels: int, num_classes: int, config: UxnetConfig) -> None:
        super().__init__()
        sizes = config.feature_sizes
        self.backbone = UxBackbone(in_channels, config)
        self.skip_blocks = nn.ModuleList(
            _basic_block(inputs, outputs) for inputs, outputs in pairwise((in_channels, *sizes))
        )
        self.bottom_block = _basic_block(sizes[-1], config.hidden_size)
        self.up_blocks = nn.ModuleList(
            _up_block(coarse, fine) for coarse, fine in pairwise((config.hidden_size, *sizes[::-1]))
        )
        self.last_block = _basic_block(sizes[0], sizes[0])
        self.head = nn.Conv3d(sizes[0], num_classes, kernel_size=1)

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the one head's logits, shape (N, num_classes, Z, Y, X)."""
        *stages, bottom = self.backbone(image)
        skips = [block(x) for block, x in zip(self.skip_blocks, (image, *stages), strict=True)]
        features = self.bottom_block(bottom)
        for up_block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            features = up_block(features, skip)
        return (self.head(self.last_block(features)),)


def build_uxnet(in_channels: int, num_classes: int, config: UxnetConfig) -> Uxnet:
    """Build 3D UX-Net with fresh weights."""
    return Uxnet(in_channels, num_classes, config)


def uxnet_constraints(config: UxnetConfig) -> Constraints:
    """Four halvings; instance norm needs more than one voxel at the bottom."""
    return Constraints(divisors=(16, 16, 16), minimum=(16, 32, 32))


_BLOCK_RULES = (
    (r"depthwise\.", "dwconv."),
    (r"widen\.", "pwconv1."),
    (r"narrow\.", "pwconv2."),
)
_RULES = (
    *(
        (rf"(backbone\.stages\.\d+\.\d+\.){ours}", rf"\g<1>{theirs}")
        for ours, theirs in _BLOCK_RULES
    ),
    (r"backbone\.downsamplings\.", "uxnet_3d.downsample_layers."),
    (r"backbone\.stages\.", "uxnet_3d.stages."),
    (r"backbone\.norms\.(\d)", r"uxnet_3d.norm\1"),
    *((rf"skip_blocks\.{i}\.", f"encoder{i + 1}.") for i in range(4)),
    (r"bottom_block\.", "encoder5."),
    *((rf"up_blocks\.{i}\.", f"decoder{5 - i}.") for i in range(4)),
    (r"last_block\.", "decoder1."),
    (r"head\.", "out.conv.conv."),
)


def authors_block_keys(block: UxBlock) -> dict[str, str]:
    """Map the authors' parameter names of a single block to ours."""
    return names_by_authors(block.state_dict(), _BLOCK_RULES)


def authors_keys(config: UxnetConfig) -> dict[str, str]:
    """Map each parameter name of the authors' code to ours."""
    with torch.device("meta"):
        network = build_uxnet(1, 1, config)
    return names_by_authors(network.state_dict(), _RULES)


def convert_authors_state_dict(
    state: Mapping[str, Tensor], config: UxnetConfig
) -> dict[str, Tensor]:
    """Rename the authors' parameters to ours.

    Residual blocks whose channels do not change hold an unused 1x1x1 convolution in files
    made with MONAI 0.8.1 or older; it is left out.

    Raises
    ------
    StateDictError
        If a name is not of the authors' layout with these settings.
    """
    return rename_to_ours(state, authors_keys(config), "uxnet-3d", _is_unused_shortcut)


def _is_unused_shortcut(key: str) -> bool:
    return key.endswith(".layer.conv3.conv.weight")


ARCHITECTURES = (
    Architecture(
        name="uxnet-3d",
        title="3D UX-Net",
        paper="Lee et al., ICLR 2023, arXiv 2209.15076",
        spatial_dims=3,
        config_class=UxnetConfig,
        build=build_uxnet,
        constraints=uxnet_constraints,
        paper_parameters=53.0,
        paper_channels=(1, 5),
        note=(
            "53.006 M with 5 classes; the paper's 32.1 M variant with depths 2-2-8-2 and no "
            "bottleneck block is not in any public code: hidden_size 384 gives 36.0 M"
        ),
    ),
)
