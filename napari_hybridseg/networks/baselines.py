"""The networks that the four papers compare with, from MONAI and from nnU-Net's library.

They are the libraries' own classes with the libraries' own parameter names, so that a MONAI
bundle's or an nnU-Net's weights fit. Where a class gives a list of outputs, it is made to
answer like every other network here. Nothing of them needs torchvision.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from typing import Any, Generic, TypeVar

from monai.networks.nets import (
    UNETR,
    AttentionUnet,
    BasicUNet,
    BasicUNetPlusPlus,
    DynUNet,
    MedNeXt,
    SegResNet,
    UNet,
    VNet,
)
from torch import Tensor, nn

from napari_hybridseg.networks import baseline_configs as configs
from napari_hybridseg.networks import nnunet_baselines as nnunet
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.baseline_constraints import FixedSize, halved, strided
from napari_hybridseg.networks.one_graph import OneGraphSwinUnetr, follow_up_cats
from napari_hybridseg.networks.registry import Architecture, ArchitectureError, NetworkConfig
from napari_hybridseg.older_python import zip

Config = TypeVar("Config", bound=configs.BaselineConfig)

# VNet repeats the image's channels to this many.
_VNET_STEM = 16


class UnetPlusPlus(SegmentationNetwork, BasicUNetPlusPlus):
    """MONAI's UNet++; its heads are the nested decoders, shallowest first.

    Source: Zhou et al., "UNet++", DLMIA 2018 (arXiv 1807.10165).
    """

    def __init__(self, in_channels: int, num_classes: int, config: configs.UnetPlusPlusConfig):
        with redirect_stdout(sys.stderr):  # see _MonaiBuilder
            super().__init__(
                spatial_dims=config.spatial_dims,
                in_channels=in_channels,
                out_channels=num_classes,
                deep_supervision=config.deep_supervision,
                **_basic_unet(config),
            )
        follow_up_cats(self)
        heads = 4 if config.deep_supervision else 1
        self.head_weights = (1.0 / heads,) * heads
        self.prediction_head = heads - 1

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of each head, (N, num_classes, ...) on the image's grid."""
        return tuple(BasicUNetPlusPlus.forward(self, image))


class DeepDynUnet(SegmentationNetwork, DynUNet):
    """MONAI's DynUNet; its heads are the decoder's levels, finest first.

    Source: Isensee et al., "nnU-Net", Nature Methods 2021 (doi 10.1038/s41592-020-01008-z).
    """

    input_block: nn.Module
    downsamples: nn.ModuleList
    bottleneck: nn.Module
    upsamples: nn.ModuleList
    output_block: nn.Module
    deep_supervision: bool
    deep_supervision_heads: nn.ModuleList

    def __init__(self, in_channels: int, num_classes: int, config: configs.DynUnetConfig):
        super().__init__(
            spatial_dims=config.spatial_dims,
            in_channels=in_channels,
            out_channels=num_classes,
            kernel_size=config.kernels,
            strides=config.strides,
            upsample_kernel_size=config.strides[1:],
            filters=config.channels,
            deep_supervision=config.deep_supervision > 0,
            deep_supr_num=max(config.deep_supervision, 1),
            res_block=config.residual,
        )
        # MONAI's second view of the same layers: a .safetensors file holds a tensor once.
        del self.skip_layers
        self.head_weights = nnunet.halving_weights(1 + config.deep_supervision)

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the logits of each head, (N, num_classes, ...), each on its own level's grid."""
        skips = [self.input_block(image)]
        for downsample in self.downsamples:
            skips.append(downsample(skips[-1]))
        features = self.bottleneck(skips[-1])
        levels = []
        for upsample, skip in zip(self.upsamples, reversed(skips), strict=True):
            features = upsample(features, skip)
            levels.append(features)
        finest, *coarser = reversed(levels)
        supervised = zip(self._heads(), coarser, strict=False)
        return (self.output_block(finest), *(head(level) for head, level in supervised))

    def _heads(self) -> Iterable[nn.Module]:
        return self.deep_supervision_heads if self.deep_supervision else ()


def build_vnet(in_channels: int, num_classes: int, config: configs.VnetConfig) -> nn.Module:
    """Build MONAI's V-Net.

    Raises
    ------
    ArchitectureError
        If 16 is not a multiple of the number of channels.
    """
    if _VNET_STEM % in_channels:
        raise ArchitectureError(
            f"vnet takes 1, 2, 4, 8 or 16 input channels, not {in_channels}; "
            "choose another architecture for this image."
        )
    return _MonaiBuilder(VNet, _vnet)(in_channels, num_classes, config)


class _MonaiBuilder(Generic[Config]):
    """Builds a class of MONAI's, with our settings in the words of its constructor."""

    def __init__(
        self, network_class: Callable[..., Any], settings: Callable[[Config], dict[str, Any]]
    ) -> None:
        self._network_class = network_class
        self._settings = settings

    def __call__(self, in_channels: int, num_classes: int, config: Config) -> nn.Module:
        with redirect_stdout(sys.stderr):  # MONAI before 1.6 prints what a BasicUNet is made of
            network: nn.Module = self._network_class(
                spatial_dims=config.spatial_dims,
                in_channels=in_channels,
                out_channels=num_classes,
                **self._settings(config),
            )
        follow_up_cats(network)
        return network


def _strided(config: configs.StridedConfig) -> dict[str, Any]:
    return {
        "channels": config.channels,
        "strides": config.strides,
        "kernel_size": config.kernel,
        "dropout": config.dropout,
    }


def _unet(config: configs.UnetConfig) -> dict[str, Any]:
    return _strided(config) | {
        "num_res_units": config.num_res_units,
        "act": config.act,
        "norm": config.norm,
    }


def _basic_unet(config: configs.BasicUnetConfig) -> dict[str, Any]:
    return {
        "features": config.features,
        "norm": (config.norm, {"affine": True}),
        "dropout": config.dropout,
        "upsample": config.upsample,
    }


def _vnet(config: configs.VnetConfig) -> dict[str, Any]:
    return {
        "dropout_prob_down": config.dropout,
        "dropout_prob_up": (config.dropout, config.dropout),
        "dropout_dim": config.spatial_dims,
    }


def _segresnet(config: configs.SegResNetConfig) -> dict[str, Any]:
    return {
        "init_filters": config.init_filters,
        "blocks_down": config.blocks_down,
        "blocks_up": config.blocks_up,
        "dropout_prob": config.dropout or None,
    }


def _unetr(config: configs.UnetrConfig) -> dict[str, Any]:
    return {
        "img_size": config.img_size,
        "feature_size": config.feature_size,
        "hidden_size": config.hidden_size,
        "mlp_dim": config.mlp_dim,
        "num_heads": config.num_heads,
        "dropout_rate": config.dropout,
    }


def _lean_unetr(**settings: Any) -> nn.Module:
    """Build MONAI's UNETR as MONAI 1.6 does: before, it had cross attention that it never used."""
    network = UNETR(**settings)
    for block in network.vit.blocks:
        if not getattr(block, "with_cross_attention", True):
            block.cross_attn = nn.Identity()
    return network


def _swin_unetr(config: configs.SwinUnetrConfig) -> dict[str, Any]:
    return {
        "feature_size": config.feature_size,
        "depths": config.depths,
        "num_heads": config.num_heads,
        "window_size": config.window_size,
        "drop_rate": config.dropout,
    }


def _mednext(config: configs.MedNextConfig) -> dict[str, Any]:
    return {
        "init_filters": config.init_filters,
        "kernel_size": config.kernel,
        "encoder_expansion_ratio": config.encoder_expansion,
        "decoder_expansion_ratio": config.decoder_expansion,
        "bottleneck_expansion_ratio": config.bottleneck_expansion,
        "blocks_down": config.blocks_down,
        "blocks_bottleneck": config.blocks_bottleneck,
        "blocks_up": config.blocks_up,
        "use_residual_connection": config.residual,
    }


def convert_authors_state_dict(
    state: Mapping[str, Tensor], config: NetworkConfig
) -> dict[str, Tensor]:
    """Rename a MONAI or nnU-Net network's parameters: the names are ours already.

    nnU-Net's library and DynUNet list many parameters under several names; the doubles are
    left out.
    """
    if isinstance(config, configs.DynUnetConfig):
        return {key: value for key, value in state.items() if not key.startswith("skip_layers.")}
    if isinstance(config, configs.PlainConvUnetConfig):
        return nnunet.without_aliases(state)
    return dict(state)


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="unet",
        title="U-Net (residual)",
        paper="Kerfoot et al. 2018, doi 10.1007/978-3-030-12029-0_40",
        spatial_dims=3,
        config_class=configs.UnetConfig,
        build=_MonaiBuilder(UNet, _unet),
        constraints=lambda config: strided(config.strides, config.spatial_dims),
        paper_parameters=4.81,
    ),
    Architecture(
        name="basic-unet",
        title="U-Net (plain)",
        paper="Ronneberger et al. 2015, arXiv 1505.04597",
        spatial_dims=2,
        config_class=configs.BasicUnetConfig,
        build=_MonaiBuilder(BasicUNet, _basic_unet),
        constraints=lambda config: halved(4, config.spatial_dims),
        paper_parameters=7.8,
    ),
    Architecture(
        name="unet-plus-plus",
        title="UNet++",
        paper="Zhou et al. 2018, arXiv 1807.10165",
        spatial_dims=2,
        config_class=configs.UnetPlusPlusConfig,
        build=UnetPlusPlus,
        constraints=lambda config: halved(4, config.spatial_dims),
        paper_parameters=9.2,
        note="MONAI's blocks differ slightly from those of the UTNetV2 authors.",
    ),
    Architecture(
        name="attention-unet",
        title="Attention U-Net",
        paper="Oktay et al. 2018, arXiv 1804.03999",
        spatial_dims=2,
        config_class=configs.AttentionUnetConfig,
        build=_MonaiBuilder(AttentionUnet, _strided),
        constraints=lambda config: strided(config.strides, config.spatial_dims),
        explains=("attention-gate",),
        paper_parameters=8.2,
        note="MONAI's blocks differ slightly from those of the UTNetV2 authors.",
    ),
    Architecture(
        name="vnet",
        title="V-Net",
        paper="Milletari et al. 2016, arXiv 1606.04797",
        spatial_dims=3,
        config_class=configs.VnetConfig,
        build=build_vnet,
        constraints=lambda config: halved(4, config.spatial_dims),
        paper_parameters=45.6,
    ),
    Architecture(
        name="segresnet",
        title="SegResNet",
        paper="Myronenko 2018, arXiv 1810.11654",
        spatial_dims=3,
        config_class=configs.SegResNetConfig,
        build=_MonaiBuilder(SegResNet, _segresnet),
        constraints=lambda config: halved(len(config.blocks_down) - 1, config.spatial_dims),
        paper_parameters=1.18,
    ),
    Architecture(
        name="unetr",
        title="UNETR",
        paper="Hatamizadeh et al. 2022, arXiv 2103.10504",
        spatial_dims=3,
        config_class=configs.UnetrConfig,
        build=_MonaiBuilder(_lean_unetr, _unetr),
        constraints=lambda config: FixedSize(config.img_size, config.img_size),
        paper_parameters=92.8,
    ),
    Architecture(
        name="swin-unetr",
        title="Swin UNETR",
        paper="Hatamizadeh et al. 2022, arXiv 2201.01266",
        spatial_dims=3,
        config_class=configs.SwinUnetrConfig,
        build=_MonaiBuilder(OneGraphSwinUnetr, _swin_unetr),
        constraints=lambda config: halved(5, config.spatial_dims),
        paper_parameters=62.2,
    ),
    Architecture(
        name="dynunet",
        title="nnU-Net (MONAI DynUNet)",
        paper="Isensee et al. 2021, doi 10.1038/s41592-020-01008-z",
        spatial_dims=3,
        config_class=configs.DynUnetConfig,
        build=DeepDynUnet,
        constraints=lambda config: strided(config.strides, config.spatial_dims),
        paper_parameters=31.2,
    ),
    Architecture(
        name="mednext",
        title="MedNeXt-S",
        paper="Roy et al. 2023, arXiv 2303.09975",
        spatial_dims=3,
        config_class=configs.MedNextConfig,
        build=_MonaiBuilder(MedNeXt, _mednext),
        constraints=lambda config: halved(len(config.blocks_down), config.spatial_dims),
        paper_parameters=5.6,
    ),
    *nnunet.ARCHITECTURES,
)
