"""nnU-Net's own networks, when its library is installed.

The library, dynamic-network-architectures, is an optional extra. It is imported when such a
network is built.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from napari_hybridseg.networks import baseline_configs as configs
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.baseline_constraints import strided
from napari_hybridseg.networks.registry import Architecture, ArchitectureError

_PAPER = "Isensee et al. 2021, doi 10.1038/s41592-020-01008-z"
_RESIDUAL_PAPER = "Isensee et al. 2024, arXiv 2404.09556"
_ALIAS = re.compile(r"^decoder\.encoder\.|\.(conv|norm)\.(weight|bias)$")


class NnunetNetwork(SegmentationNetwork):
    """One of nnU-Net's encoder-decoder networks; its heads are the levels, finest first.

    Source: Isensee et al., Nature Methods 2021 (doi 10.1038/s41592-020-01008-z).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, deep_supervision: bool, levels: int):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        _remove_aliases(self)
        # nnU-Net trains all levels of the decoder but the coarsest.
        self.head_weights = (*halving_weights(levels - 1), 0.0) if deep_supervision else (1.0,)

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of each head, (N, num_classes, ...), each on its own level's grid."""
        logits = self.decoder(self.encoder(image))
        return (logits,) if isinstance(logits, Tensor) else tuple(logits)


def halving_weights(heads: int) -> tuple[float, ...]:
    """Give every head half the weight of the next finer one; they sum to 1."""
    weights = [0.5**head for head in range(heads)]
    return tuple(weight / sum(weights) for weight in weights)


def without_aliases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the second and third names that nnU-Net's library has for a parameter."""
    return {key: value for key, value in state.items() if not _ALIAS.search(key)}


def build_plain_conv_unet(
    in_channels: int, num_classes: int, config: configs.PlainConvUnetConfig
) -> nn.Module:
    """Build nnU-Net's plain network.

    Raises
    ------
    ArchitectureError
        If the library is not installed.
    """
    library = _library()
    return _build(
        library.PlainConvUNet, in_channels, num_classes, config, n_conv_per_stage=config.blocks
    )


def build_residual_encoder_unet(
    in_channels: int, num_classes: int, config: configs.ResidualEncoderUnetConfig
) -> nn.Module:
    """Build nnU-Net's network with a residual encoder.

    Raises
    ------
    ArchitectureError
        If the library is not installed.
    """
    library = _library()
    return _build(
        library.ResidualEncoderUNet,
        in_channels,
        num_classes,
        config,
        n_blocks_per_stage=config.blocks,
    )


def _library() -> ModuleType:
    try:
        return importlib.import_module("dynamic_network_architectures.architectures.unet")
    except ImportError as error:
        raise ArchitectureError(
            "nnU-Net's own networks need a library that is not installed; run: "
            "pip install --no-deps dynamic-network-architectures"
        ) from error


def _build(
    network_class: Callable[..., Any],
    in_channels: int,
    num_classes: int,
    config: configs.PlainConvUnetConfig,
    **blocks: tuple[int, ...],
) -> NnunetNetwork:
    flat = config.spatial_dims == 2
    network = network_class(
        input_channels=in_channels,
        num_classes=num_classes,
        n_stages=len(config.channels),
        features_per_stage=config.channels,
        conv_op=nn.Conv2d if flat else nn.Conv3d,
        kernel_sizes=config.kernels,
        strides=config.strides,
        n_conv_per_stage_decoder=config.decoder_blocks,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d if flat else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=config.deep_supervision,
        **blocks,
    )
    network.apply(network.initialize)
    return NnunetNetwork(
        network.encoder,
        network.decoder,
        config.deep_supervision,
        levels=len(config.channels) - 1,
    )


def _remove_aliases(network: NnunetNetwork) -> None:
    # A .safetensors file holds a tensor under one name only.
    if "encoder" in dict(network.decoder.named_children()):
        del network.decoder.encoder
    for module in network.modules():
        if "all_modules" in dict(module.named_children()):
            for alias in ("conv", "norm"):
                delattr(module, alias)


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="plain-conv-unet",
        title="nnU-Net",
        paper=_PAPER,
        spatial_dims=3,
        config_class=configs.PlainConvUnetConfig,
        build=build_plain_conv_unet,
        constraints=lambda config: strided(config.strides, config.spatial_dims),
        paper_parameters=31.2,
    ),
    Architecture(
        name="residual-encoder-unet",
        title="nnU-Net (residual encoder)",
        paper=_RESIDUAL_PAPER,
        spatial_dims=3,
        config_class=configs.ResidualEncoderUnetConfig,
        build=build_residual_encoder_unet,
        constraints=lambda config: strided(config.strides, config.spatial_dims),
    ),
)
