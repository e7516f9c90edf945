"""CoTr: a 3D CNN encoder, a deformable transformer over its two coarsest maps, a CNN decoder.

Source: Xie, Zhang, Shen, Xia, "CoTr: Efficiently Bridging CNN and Transformer for 3D Medical
Image Segmentation", MICCAI 2021 (arXiv 2103.03024).

Where the paper's text and its published code differ this file follows the code: leaky instead
of plain ReLU, a "3D residual block" of the encoder is one convolution, the position encoding's
frequencies, and no layer norm inside the feed-forward network. The one exception is the order
of the axes in the deformable attention, which a setting decides (see ``deformable``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.authors_keys import names_by_authors, rename_to_ours
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.deformable import AxisOrder, Sampler
from napari_hybridseg.networks.deformable_transformer import DeformableTransformer
from napari_hybridseg.networks.registry import Architecture, Constraints, NetworkConfig
from napari_hybridseg.older_python import pairwise, zip

Norm = Literal["instance", "batch", "group"]
Activation = Literal["leaky_relu", "relu"]
GROUPS = 16


class CotrConfig(NetworkConfig):
    """Settings of CoTr; the defaults are the paper's full size.

    Attributes
    ----------
    blocks : tuple of int
        Residual blocks of each of the encoder's three stages.
    widths : tuple of int
        Channels of the stem, of the first stage, and of the second and third stage. The last
        is also the width of a token: a multiple of ``heads`` and of 6.
    heads, layers, points : int
        Of the deformable transformer; ``points`` are sampled per head and level.
    ffn : int
        Hidden width of the transformer's feed-forward network.
    dropout : float
        In the transformer.
    norm : {"instance", "batch", "group"}
        Of the convolutions; there are 16 groups; all norms have a learned scale and shift.
    activation : {"leaky_relu", "relu"}
        Of the convolutions.
    encoder_activation : {"leaky_relu", "relu"}, optional
        Of the encoder alone where it differs: until 16 May 2021 the authors' encoder used ReLU
        whatever the setting.
    weight_standardisation : bool
        Whether the encoder's and decoder's kernels are standardised before use.
    axis_order : {"corrected", "legacy"}
        "legacy" for weights that the authors' code trained (see ``deformable``).
    sampler : {"gather", "grid_sample"}
        How deformable attention reads values: a matter of speed only.
    """

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (3, 3, 2)
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 192, 384)
    heads: PositiveInt = 6
    layers: PositiveInt = 6
    points: PositiveInt = 4
    ffn: PositiveInt = 1536
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    norm: Norm = "instance"
    activation: Activation = "leaky_relu"
    encoder_activation: Activation | None = None
    weight_standardisation: bool = False
    axis_order: AxisOrder = "corrected"
    sampler: Sampler = "gather"

    @model_validator(mode="after")
    def _widths_divide(self) -> CotrConfig:
        token_width = self.widths[-1]
        for divisor, reason in ((self.heads, "heads"), (6, "sines and cosines of three axes")):
            if token_width % divisor:
                raise ValueError(
                    f"the last width, {token_width}, must be a multiple of {divisor} ({reason})"
                )
        if self.norm == "group" and any(width % GROUPS for width in self.widths):
            raise ValueError(f"group norm needs widths that are multiples of {GROUPS}")
        if self.weight_standardisation and min(self.widths) < 2:
            raise ValueError("weight standardisation needs widths of 2 or more: one has no spread")
        return self


class CotrDaggerConfig(CotrConfig):
    """Settings of the paper's shallower CoTr with two blocks a stage."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2)


class CotrStarConfig(CotrConfig):
    """Settings of the paper's shallowest CoTr with one block a stage."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 1, 1)


class StandardisedConv3d(nn.Conv3d):
    """A convolution whose kernels have zero mean and unit variance per output channel."""

    def forward(self, features: Tensor) -> Tensor:
        """Convolve with the standardised kernels."""
        axes = (1, 2, 3, 4)
        centred = self.weight - self.weight.mean(dim=axes, keepdim=True)
        variance = centred.var(dim=axes, keepdim=True)
        return self._conv_forward(features, centred / (variance + 1e-12).sqrt(), self.bias)


def _conv(
    inputs: int,
    outputs: int,
    kernel: int,
    config: CotrConfig,
    stride: int | tuple[int, int, int] = 1,
) -> nn.Conv3d:
    kind = StandardisedConv3d if config.weight_standardisation else nn.Conv3d
    return kind(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def _norm(channels: int, config: CotrConfig) -> nn.Module:
    if config.norm == "group":
        return nn.GroupNorm(GROUPS, channels)
    if config.norm == "batch":
        return nn.BatchNorm3d(channels)
    return nn.InstanceNorm3d(channels, affine=True)


def _activation(kind: Activation) -> nn.Module:
    return nn.ReLU() if kind == "relu" else nn.LeakyReLU(0.01)


class EncoderBlock(nn.Module):
    """One convolution and norm, the input added, then the activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, config: CotrConfig) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, 3, config, stride)
        self.norm = _norm(outputs, config)
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(_conv(inputs, outputs, 1, config, stride), _norm(outputs, config))
        )
        self.activation = _activation(config.encoder_activation or config.activation)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, Z, Y, X), each axis divided by the stride."""
        return self.activation(self.norm(self.conv(features)) + self.shortcut(features))


class DecoderBlock(nn.Module):
    """Twice convolution, norm and activation; then the input is added."""

    def __init__(self, channels: int, config: CotrConfig) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 3, config)
        self.norm1 = _norm(channels, config)
        self.conv2 = _conv(channels, channels, 3, config)
        self.norm2 = _norm(channels, config)
        self.activation = _activation(config.activation)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, Z, Y, X) to the same shape."""
        inner = self.activation(self.norm1(self.conv1(features)))
        return features + self.activation(self.norm2(self.conv2(inner)))


class Encoder(nn.Module):
    """The CNN encoder: a stem that keeps Z and halves Y and X, and three halving stages."""

    def __init__(self, in_channels: int, config: CotrConfig) -> None:
        super().__init__()
        stem, first, token = config.widths
        self.stem = nn.Sequential(
            _conv(in_channels, stem, 7, config, stride=(1, 2, 2)),
            _norm(stem, config),
            _activation(config.encoder_activation or config.activation),
        )
        widths = (stem, first, token, token)
        self.stages = nn.ModuleList(
            nn.Sequential(
                EncoderBlock(inputs, outputs, 2, config),
                *(EncoderBlock(outputs, outputs, 1, config) for _ in range(blocks - 1)),
            )
            for inputs, outputs, blocks in zip(widths[:-1], widths[1:], config.blocks, strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the output of the stem and of each stage, finest first."""
        outputs = [self.stem(image)]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return tuple(outputs)


class Cotr(SegmentationNetwork):
    """CoTr.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    config : CotrConfig
        Settings.
    """

    head_weights = (8 / 15, 4 / 15, 2 / 15, 1 / 15)

    def __init__(self, in_channels: int, num_classes: int, config: CotrConfig) -> None:
        super().__init__()
        stem, first, token = config.widths
        self.encoder = Encoder(in_channels, config)
        widths = (token, token, first, stem)
        self.upsamplings = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, kernel_size=2, stride=2, bias=False)
            for coarse, fine in pairwise(widths)
        )
        self.decoder_blocks = nn.ModuleList(DecoderBlock(width, config) for width in widths[1:])
        self.head = nn.Conv3d(stem, num_classes, kernel_size=1)
        self.coarse_heads = nn.ModuleList(
            nn.Conv3d(width, num_classes, kernel_size=1) for width in (stem, first, token)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.transformer = DeformableTransformer(
            width=token,
            heads=config.heads,
            layers=config.layers,
            points=config.points,
            ffn=config.ffn,
            dropout=config.dropout,
            axis_order=config.axis_order,
            sampler=config.sampler,
        )

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits on the image's grid, then on three coarser ones.

        Returns
        -------
        tuple of Tensor
            (N, num_classes, ...) with (Z, Y, X), (Z, Y/2, X/2), (Z/2, Y/4, X/4) and
            (Z/4, Y/8, X/8) voxels.
        """
        decoded = self._decode(image)
        coarse = (head(x) for head, x in zip(self.coarse_heads, decoded, strict=True))
        return (self._full_head(decoded[0]), *coarse)

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits on the image's grid alone."""
        return self._full_head(self._decode(image)[0])

    def _decode(self, image: Tensor) -> list[Tensor]:
        """Give the decoder's stages, finest first."""
        *fine, middle, coarse = self.encoder(image)
        middle, features = self.transformer((middle, coarse))
        decoded: list[Tensor] = []
        for upsample, block, skip in zip(
            self.upsamplings, self.decoder_blocks, (middle, *reversed(fine)), strict=True
        ):
            features = block(upsample(features) + skip)
            decoded.insert(0, features)
        return decoded

    def _full_head(self, features: Tensor) -> Tensor:
        full = functional.interpolate(
            features, scale_factor=(1.0, 2.0, 2.0), mode="trilinear", align_corners=False
        )
        return self.head(full)


def build_cotr(in_channels: int, num_classes: int, config: CotrConfig) -> Cotr:
    """Build CoTr with fresh weights."""
    return Cotr(in_channels, num_classes, config)


def cotr_constraints(config: CotrConfig) -> Constraints:
    """Give the encoder's strides; instance norm needs more than one voxel at the bottom."""
    return Constraints(divisors=(8, 16, 16), minimum=(8, 32, 32))


_RULES = (
    (r"encoder\.stem\.0\.", "backbone.conv1."),
    (r"encoder\.stem\.1\.", "backbone.norm1."),
    (r"(encoder\.stages\.\d+\.\d+)\.(conv|norm)\.", r"\1.\g<2>1."),
    (r"(encoder\.stages\.\d+\.\d+)\.shortcut\.", r"\1.downsample."),
    *((rf"encoder\.stages\.{i}\.", f"backbone.layer{i + 1}.") for i in range(3)),
    *((rf"upsamplings\.{i}\.", f"transposeconv_stage{2 - i}.") for i in range(3)),
    (r"(decoder_blocks\.\d)\.(conv|norm)(\d)\.", r"\1.resconv\3.\2."),
    *((rf"decoder_blocks\.{i}\.", f"stage{2 - i}_de.") for i in range(3)),
    (r"head\.", "cls_conv."),
    (r"coarse_heads\.(\d)\.", r"ds\1_cls_conv."),
    (r"(transformer\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"(transformer\.layers\.\d+\.self_attn)\.offsets\.", r"\1.sampling_offsets."),
    (r"(transformer\.layers\.\d+\.self_attn)\.logits\.", r"\1.attention_weights."),
    (r"(transformer\.layers\.\d+\.self_attn)\.(value|output)\.", r"\1.\2_proj."),
    (r"transformer\.layers\.", "encoder_Detrans.encoder.layers."),
    (r"transformer\.", "encoder_Detrans."),
)


def authors_keys(config: CotrConfig) -> dict[str, str]:
    """Map each parameter name of the authors' code, without ``U_ResTran3D.``, to ours."""
    with torch.device("meta"):
        network = build_cotr(1, 1, config)
    return names_by_authors(network.state_dict(), _RULES)


def convert_authors_state_dict(
    state: Mapping[str, Tensor], config: CotrConfig
) -> dict[str, Tensor]:
    """Rename the authors' parameters, without ``U_ResTran3D.``, to ours.

    Their weights need ``axis_order="legacy"`` to mean what they meant.

    Raises
    ------
    StateDictError
        If a name is not of the authors' layout with these settings.
    """
    return rename_to_ours(state, authors_keys(config), "CoTr")


def _architecture(
    name: str, title: str, config_class: type[CotrConfig], millions: float
) -> Architecture:
    return Architecture(
        name=name,
        title=title,
        paper="Xie et al., MICCAI 2021, arXiv 2103.03024",
        spatial_dims=3,
        config_class=config_class,
        build=build_cotr,
        constraints=cotr_constraints,
        explains=("deformable",),
        paper_parameters=millions,
        paper_channels=(1, 14),
    )


ARCHITECTURES = (
    _architecture("cotr", "CoTr", CotrConfig, 41.9),
    _architecture("cotr-dagger", "CoTr† (two blocks a stage)", CotrDaggerConfig, 36.9),
    _architecture("cotr-star", "CoTr* (one block a stage)", CotrStarConfig, 27.9),
)
