"""UTNetV2 and its successor MedFormer, for slices and for volumes.

Gao, Zhou, Liu, Yan, Zhang, Metaxas, "A Multi-scale Transformer for Medical Image Segmentation:
Architectures, Model Efficiency, and Benchmarks" (arXiv 2203.00131). Version 2 of the text
describes UTNetV2; the authors' repository has since replaced it by MedFormer, which differs in
where semantic maps come from, in the 3D decoder and in an auxiliary output. Own code, written
to compute what the authors' code (Apache-2.0) computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.authors_keys import StateDictError
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.bmha import SemanticMapFusion
from napari_hybridseg.networks.registry import Architecture, Constraints
from napari_hybridseg.networks.utnetv2_config import (
    MedFormerConfig2D,
    MedFormerConfig3D,
    UTNetFamilyConfig,
    UTNetV2Config2D,
    UTNetV2Config3D,
)
from napari_hybridseg.networks.utnetv2_keys import authors_name, is_dead
from napari_hybridseg.networks.utnetv2_layers import LINEAR_MODE, LayerChoice
from napari_hybridseg.networks.utnetv2_stages import DecoderStage, EncoderStage, MapSource, Stem
from napari_hybridseg.older_python import zip


class UTNetV2(SegmentationNetwork):
    """UTNetV2 or MedFormer, as its config says.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    num_classes : int
        Output channels, background included.
    config : UTNetFamilyConfig
        One of the four config classes; its class says which network it is.
    """

    def __init__(self, in_channels: int, num_classes: int, config: UTNetFamilyConfig) -> None:
        super().__init__()
        layers = LayerChoice(
            dims=config.dims,
            norm_kind=config.norm,
            norm_epsilon=config.norm_epsilon,
            activation_kind=config.activation,
            projection_kind=config.projection,
            drop_path=config.drop_path,
        )
        later: MapSource = "generated" if config.variant == "medformer" else "projected"
        sources: tuple[MapSource, ...] = ("none", "generated", later, later)
        channels = config.stage_channels
        self.resize = LINEAR_MODE[config.dims]
        self.stem = Stem(layers, in_channels, config.base_channels, config.kernels[0])
        self.encoder = nn.ModuleList(
            EncoderStage(layers, config, stage, source) for stage, source in enumerate(sources)
        )
        self.map_fusion = SemanticMapFusion(
            layers,
            channels[1:4],
            config.fusion_dim,
            config.fusion_heads,
            config.fusion_depth,
            config.fusion_merge,
        )
        self.decoder = nn.ModuleList(DecoderStage(layers, config, stage) for stage in range(4))
        self.head = layers.conv(channels[-1], num_classes, layers.one, bias=True)
        self.auxiliary_head: nn.Module | None = None
        if isinstance(config, (MedFormerConfig2D, MedFormerConfig3D)) and config.auxiliary_head:
            self.auxiliary_head = layers.conv(channels[5], num_classes, layers.one, bias=True)
            self.head_weights = (0.5, 0.5)

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits (N, num_classes, ...) of the main head."""
        logits: Tensor = self.head(self._decode(image)[-1])
        return logits

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the main logits, then the auxiliary ones where there are; on the image's grid."""
        stages = self._decode(image)
        main = self.head(stages[-1])
        if self.auxiliary_head is None:
            return (main,)
        coarse = self.auxiliary_head(stages[1])
        auxiliary = functional.interpolate(
            coarse, size=image.shape[2:], mode=self.resize, align_corners=True
        )
        return main, auxiliary

    def _decode(self, image: Tensor) -> list[Tensor]:
        """Give the features that up1..up4 put out."""
        features = self.stem(image)
        skips = []
        maps = []
        semantic_map = None
        for stage in self.encoder:
            skips.append(features)
            features, semantic_map = stage(features, semantic_map)
            if semantic_map is not None:
                maps.append(semantic_map)
        fine, middle, coarse = self.map_fusion(maps)
        merged: list[Tensor] = [coarse]
        decoded = []
        for stage, own in zip(self.decoder, ([middle], [fine], [], []), strict=True):
            features, semantic_map = stage(features, skips.pop(), [*merged, *own])
            merged = [semantic_map]
            decoded.append(features)
        return decoded


def window_constraints(config: UTNetFamilyConfig) -> Constraints:
    """Give the windows that the downsampling and the norms at the bottleneck allow.

    Patch merging takes only whole blocks, and a norm over the grid needs more than one voxel
    at the coarsest scale: two along each in-plane axis.
    """
    divisors = tuple(math.prod(axis) for axis in zip(*config.scales, strict=True))
    in_plane = len(divisors) - 2
    minimum = tuple(
        divisor * 2 if axis >= in_plane else divisor for axis, divisor in enumerate(divisors)
    )
    return Constraints(divisors=divisors, minimum=minimum)


def authors_key_map(config: UTNetFamilyConfig) -> dict[str, str]:
    """Give the authors' name of each of our parameters and buffers, for one config."""
    with torch.device("meta"):
        names = UTNetV2(1, 2, config).state_dict()
    return {name: authors_name(name, config) for name in names}


def convert_authors_state_dict(
    state: Mapping[str, Tensor], config: UTNetFamilyConfig
) -> dict[str, Tensor]:
    """Rename the parameters of the authors' UTNetV2 or MedFormer to ours.

    Parameters
    ----------
    state : mapping
        Parameter name to tensor, as saved by the authors' code, without wrapper prefixes.
        Parameters without effect that only older 3D MedFormer files have are left out.
    config : UTNetFamilyConfig
        The network that the file is of. Heads, map shape, norm epsilon and activation cannot
        be seen in a file, so this is not checked for them.

    Raises
    ------
    StateDictError
        If names are not of this layout.
    """
    ours = {theirs: name for name, theirs in authors_key_map(config).items()}
    unknown = [key for key in state if key not in ours and not is_dead(key, config)]
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if unknown[5:] else "")
        raise StateDictError(
            f"This state dict is not of the {config.dims}D {config.variant} network that was "
            f"asked for: it has {shown}."
        )
    return {ours[key]: value for key, value in state.items() if key in ours}


_PAPER = "Gao et al. 2022, arXiv:2203.00131"
_UNUSED = "the count includes the map projections of up3 and up4, whose results nothing reads"

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="utnetv2-2d",
        title="UTNetV2 (2D)",
        paper=f"{_PAPER}v2",
        spatial_dims=2,
        config_class=UTNetV2Config2D,
        build=UTNetV2,
        constraints=window_constraints,
        explains=("bmha", "fusion"),
        paper_channels=(1, 4),
        paper_parameters=12.8,
        note=f"12.794 M here; {_UNUSED}.",
    ),
    Architecture(
        name="utnetv2-3d",
        title="UTNetV2 (3D)",
        paper=f"{_PAPER}v2",
        spatial_dims=3,
        config_class=UTNetV2Config3D,
        build=UTNetV2,
        constraints=window_constraints,
        explains=("bmha", "fusion"),
        paper_channels=(1, 4),
        paper_parameters=15.3,
        note=(
            "15.339 M here with fusion_dim 512, which gives the paper's count; the authors' "
            f"published ACDC config has fusion_dim 256, which gives 12.517 M; {_UNUSED}."
        ),
    ),
    Architecture(
        name="medformer-2d",
        title="MedFormer (2D)",
        paper=_PAPER,
        spatial_dims=2,
        config_class=MedFormerConfig2D,
        build=UTNetV2,
        constraints=window_constraints,
        explains=("bmha", "fusion"),
        paper_channels=(1, 4),
        note=f"19.188 M here, the authors' ACDC config; {_UNUSED}.",
    ),
    Architecture(
        name="medformer-3d",
        title="MedFormer (3D)",
        paper=_PAPER,
        spatial_dims=3,
        config_class=MedFormerConfig3D,
        build=UTNetV2,
        constraints=window_constraints,
        explains=("bmha", "fusion"),
        paper_channels=(1, 4),
        note="21.826 M here, the authors' ACDC config.",
    ),
)
