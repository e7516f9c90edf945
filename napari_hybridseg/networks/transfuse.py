"""TransFuse: a residual network and a vision transformer side by side, fused at three sizes.

Source: Zhang, Liu, Hu, "TransFuse: Fusing Transformers and CNNs for Medical Image
Segmentation", MICCAI 2021 (arXiv 2102.08005).

Where the paper's text and the authors' code differ this file follows the code: TransFuse-L has
a ResNet-50 and all 12 blocks of DeiT-B (the paper: Res2Net-50 and 10 blocks), and the losses of
the token head and of the first fusion count .3 and .2 (the paper: .2 and .3). Other than in the
code, images may have any size that is divisible by 16.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.authors_keys import StateDictError, names_by_authors, rename_to_ours
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.registry import Architecture, Constraints
from napari_hybridseg.networks.resnet import BasicBlock, Bottleneck, ResNet, ResNetV2
from napari_hybridseg.networks.transfuse_backbones import load_backbone_weights
from napari_hybridseg.networks.transfuse_blocks import BiFusion, ConvNorm, GatedUpBlock, UpBlock
from napari_hybridseg.networks.transfuse_config import (
    REDUCTIONS,
    TransFuseConfig,
    TransFuseL384Config,
    TransFuseLConfig,
    TransFuseLStarConfig,
)
from napari_hybridseg.networks.vit import PATCH, VisionTransformer

_PAPER = "Zhang et al. 2021, arXiv 2102.08005"


class TransFuse(SegmentationNetwork):
    """The network; its heads see the first fusion, the tokens alone, and the last fusion.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    config : TransFuseConfig
        Widths and depths.
    """

    head_weights = (0.2, 0.3, 0.5)
    prediction_head = 2

    def __init__(self, in_channels: int, num_classes: int, config: TransFuseConfig):
        super().__init__()
        quarter, eighth, sixteenth = config.cnn_widths
        tokens, drop = config.embed_dim, config.drop_rate
        fuse = partial(BiFusion, drop_rate=drop / 2)
        self.align_corners = config.align_corners
        self.drop = nn.Dropout2d(drop)
        self.token_up_8 = UpBlock(tokens, eighth)
        self.token_up_4 = UpBlock(eighth, quarter)
        self.fuse_16 = fuse(sixteenth, tokens, REDUCTIONS[0], sixteenth)
        self.fuse_8 = fuse(eighth, eighth, REDUCTIONS[1], eighth)
        self.merge_8 = GatedUpBlock(sixteenth, eighth, eighth)
        self.fuse_4 = fuse(quarter, quarter, REDUCTIONS[2], quarter)
        self.merge_4 = GatedUpBlock(eighth, quarter, quarter)
        self.head_first = nn.Sequential(
            ConvNorm(sixteenth, quarter, 1, relu=True), *_head(quarter, num_classes)
        )
        self.head_tokens = nn.Sequential(*_head(quarter, num_classes))
        self.head_last = nn.Sequential(*_head(quarter, num_classes))
        _initialise(self)
        self.cnn = _build_cnn(in_channels, config)
        self.transformer = VisionTransformer(
            in_channels, tokens, config.depth, config.num_heads, config.grid, config.mlp_ratio
        )

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of the first fusion, of the tokens and of the last fusion.

        Parameters
        ----------
        image : Tensor
            Shape (N, C, Y, X), Y and X divisible by 16.

        Returns
        -------
        tuple of Tensor
            Three times (N, num_classes, Y, X); the prediction is the third.
        """
        tokens_16 = self.drop(self._token_plane(image))
        tokens_8 = self.drop(self.token_up_8(tokens_16))
        tokens_4 = self.drop(self.token_up_4(tokens_8))
        cnn_4, cnn_8, cnn_16 = self.cnn(image)
        fused_16 = self.fuse_16(cnn_16, tokens_16)
        fused_8 = self.merge_8(fused_16, self.fuse_8(cnn_8, tokens_8))
        fused_4 = self.merge_4(fused_8, self.fuse_4(cnn_4, tokens_4))
        logits = (self.head_first(fused_16), self.head_tokens(tokens_4), self.head_last(fused_4))
        return tuple(self._to_size_of(image, head) for head in logits)

    def _token_plane(self, image: Tensor) -> Tensor:
        grid = [length // PATCH for length in image.shape[2:]]
        plane: Tensor = self.transformer(image).transpose(1, 2).unflatten(2, grid)
        return plane

    def _to_size_of(self, image: Tensor, logits: Tensor) -> Tensor:
        return functional.interpolate(
            logits, size=image.shape[2:], mode="bilinear", align_corners=self.align_corners
        )


def constraints(config: TransFuseConfig) -> Constraints:
    """Give the allowed window sizes: multiples of a patch, of at least two on each axis."""
    return Constraints(divisors=(PATCH, PATCH), minimum=(2 * PATCH, 2 * PATCH))


def authors_names(config: TransFuseConfig) -> dict[str, str]:
    """Map each parameter name of the authors' code to ours."""
    with torch.device("meta"):
        ours = TransFuse(1, 1, config).state_dict()
    return names_by_authors(ours, _rules())


def convert_authors_state_dict(
    state: Mapping[str, Tensor], config: TransFuseConfig
) -> dict[str, Tensor]:
    """Rename the parameters of a state dict of the authors' code to ours.

    Raises
    ------
    StateDictError
        If a name is not one of TransFuse with these settings, or the position embedding is
        for another grid.
    """
    converted = rename_to_ours(state, authors_names(config), "TransFuse")
    positions = converted.get("transformer.pos_embed")
    rows, columns = config.grid
    if positions is not None and positions.shape[1] != rows * columns:
        raise StateDictError(
            f"The position embedding is of {positions.shape[1]} patches, not of the grid "
            f"{rows} x {columns}; give the grid that the weights were trained with, "
            "which is the image size divided by 16."
        )
    return converted


def _build_cnn(in_channels: int, config: TransFuseConfig) -> nn.Module:
    if config.cnn == "bit":
        return ResNetV2(in_channels, config.cnn_layers, config.cnn_widths, config.drop_rate)
    block = BasicBlock if config.cnn == "basic" else Bottleneck
    return ResNet(in_channels, block, config.cnn_layers, config.cnn_widths, config.drop_rate)


def _head(channels: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    return ConvNorm(channels, channels, 3, relu=True), nn.Conv2d(
        channels, num_classes, 3, padding=1
    )


def _initialise(network: nn.Module) -> None:
    # The biases keep PyTorch's own start, uniform within 1 / sqrt(fan in).
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)


def _rules() -> list[tuple[str, str]]:
    places = {
        "cnn": "resnet",
        "token_up_8": "up1",
        "token_up_4": "up2",
        "fuse_16": "up_c",
        "fuse_8": "up_c_1_1",
        "merge_8": "up_c_1_2",
        "fuse_4": "up_c_2_1",
        "merge_4": "up_c_2_2",
        "head_first": "final_x",
        "head_tokens": "final_1",
        "head_last": "final_2",
    }
    parts = {
        "conv.conv1.conv": "conv.double_conv.0",
        "conv.conv1.norm": "conv.double_conv.1",
        "conv.conv2.conv": "conv.double_conv.3",
        "conv.conv2.norm": "conv.double_conv.4",
        "conv.shortcut.conv": "conv.identity.0",
        "conv.shortcut.norm": "conv.identity.1",
        "gate.gating.conv": "attn_block.W_g.0",
        "gate.gating.norm": "attn_block.W_g.1",
        "gate.skip.conv": "attn_block.W_x.0",
        "gate.skip.norm": "attn_block.W_x.1",
        "gate.score.conv": "attn_block.psi.0",
        "gate.score.norm": "attn_block.psi.1",
        "squeeze": "fc1",
        "excite": "fc2",
        "spatial_score.norm": "spatial.bn",
        "spatial_score": "spatial",
        "cnn_projection.norm": "W_g.bn",
        "cnn_projection": "W_g",
        "token_projection.norm": "W_x.bn",
        "token_projection": "W_x",
        "product.norm": "W.bn",
        "product": "W",
        "residual.shortcut": "residual.skip_layer.conv",
    }
    return [
        *((rf"{re.escape(ours)}\.", f"{authors}.") for ours, authors in places.items()),
        *((rf"(up\w*)\.{re.escape(ours)}\.", rf"\1.{new}.") for ours, new in parts.items()),
        (r"(up\w*\.residual)\.norm(\d)\.", r"\1.bn\2."),
        (r"(up\w*\.residual)\.conv(\d)\.", r"\1.conv\2.conv."),
        (r"(final_\w\.\d)\.norm\.", r"\1.bn."),
        (r"(final_\w\.\d)\.(weight|bias)$", r"\1.conv.\2"),
    ]


def _architecture(
    name: str,
    title: str,
    config_class: type[TransFuseConfig],
    note: str = "",
    millions: float | None = None,
) -> Architecture:
    return Architecture(
        name=name,
        title=title,
        paper=_PAPER,
        spatial_dims=2,
        config_class=config_class,
        build=TransFuse,
        constraints=constraints,
        explains=("bifusion", "attention-gate", "vit"),
        paper_parameters=millions,
        note=note,
        paper_channels=(3, 1),
        load_backbone=load_backbone_weights,
    )


_AS_IN_THE_CODE = "As in the authors' code; the paper has a Res2Net-50 and 10 transformer blocks."

ARCHITECTURES: tuple[Architecture, ...] = (
    _architecture("transfuse-s", "TransFuse-S", TransFuseConfig, millions=26.3),
    _architecture("transfuse-l", "TransFuse-L", TransFuseLConfig, _AS_IN_THE_CODE),
    _architecture("transfuse-l384", "TransFuse-L (384x512)", TransFuseL384Config, _AS_IN_THE_CODE),
    _architecture(
        "transfuse-lstar",
        "TransFuse-L*",
        TransFuseLStarConfig,
        "The authors published no code of it; the depth of its transformer is assumed.",
    ),
)
