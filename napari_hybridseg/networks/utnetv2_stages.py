"""The stages of UTNetV2 and MedFormer: stem, encoder, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.bmha import BidirectionalBlock, SemanticMapGeneration
from napari_hybridseg.networks.utnetv2_config import UTNetFamilyConfig, is_medformer_3d
from napari_hybridseg.networks.utnetv2_layers import (
    LINEAR_MODE,
    LayerChoice,
    PatchMerging,
    ResidualBlock,
)

MapSource = Literal["none", "generated", "projected"]


class Stem(nn.Module):
    """The first convolution and a residual block, on the image's own grid."""

    def __init__(
        self, layers: LayerChoice, in_channels: int, channels: int, kernel: Sequence[int]
    ) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, channels, kernel)
        self.block = ResidualBlock(layers, channels, channels, kernel)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in, ...) to (N, channels, ...)."""
        features: Tensor = self.block(self.conv(image))
        return features


class EncoderStage(nn.Module):
    """Downsample, convolve, obtain a semantic map, then attend.

    Parameters
    ----------
    layers : LayerChoice
        What the stage is made of.
    config : UTNetFamilyConfig
        The network's settings.
    stage : int
        0..3 for down1..down4.
    map_source : {"none", "generated", "projected"}
        Where the map is from: pooled from the features, or the previous stage's one, projected.
    """

    def __init__(
        self,
        layers: LayerChoice,
        config: UTNetFamilyConfig,
        stage: int,
        map_source: MapSource,
    ) -> None:
        super().__init__()
        channels = config.stage_channels[stage]
        previous = config.stage_channels[stage - 1] if stage else config.base_channels
        kernel = config.kernels[stage + 1]
        self.merge = PatchMerging(layers, previous, channels, kernel, config.scales[stage])
        self.convs = nn.Sequential(
            *(
                ResidualBlock(layers, channels, channels, kernel)
                for _ in range(config.conv_blocks[stage])
            )
        )
        self.map_generation: nn.Module | None = None
        self.map_projection: nn.Module | None = None
        if map_source == "generated":
            self.map_generation = SemanticMapGeneration(layers, channels, channels, config.map_size)
        if map_source == "projected":
            self.map_projection = layers.conv(previous, channels, layers.one)
        self.attention = _attention_blocks(layers, config, stage, channels, kernel)

    def forward(
        self, features: Tensor, semantic_map: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Give features on the coarser grid and the stage's map."""
        features = self.convs(self.merge(features))
        if self.map_generation is not None:
            semantic_map = self.map_generation(features)
        elif self.map_projection is not None:
            semantic_map = self.map_projection(semantic_map)
        for block in self.attention:
            features, semantic_map = block(features, semantic_map)
        return features, semantic_map


class DecoderStage(nn.Module):
    """Upsample to the skip's grid, join, attend to the map, convolve.

    Parameters
    ----------
    layers : LayerChoice
        What the stage is made of.
    config : UTNetFamilyConfig
        The network's settings.
    stage : int
        0..3 for up1..up4; up1 and up2 have a map.
    """

    def __init__(self, layers: LayerChoice, config: UTNetFamilyConfig, stage: int) -> None:
        super().__init__()
        channels = config.stage_channels[stage + 4]
        lower = config.stage_channels[stage + 3]
        joined = lower + channels
        kernel = config.kernels[3 - stage]
        has_map = stage < 2
        reduces = not is_medformer_3d(config)
        width = channels if reduces else joined
        self.resize = LINEAR_MODE[config.dims]
        self.norm = layers.norm(joined) if reduces else nn.Identity()
        self.reduce = layers.conv(joined, channels, layers.one) if reduces else nn.Identity()
        self.map_reduce: nn.Module = nn.Identity()
        # nothing reads the maps of up3 and up4; the authors' networks, and their counts, have them
        if has_map or reduces:
            self.map_reduce = layers.conv(joined if has_map else lower, channels, layers.one)
        self.attention = _attention_blocks(layers, config, stage + 4, width, kernel)
        if len(self.attention):
            width = channels
        self.convs = nn.Sequential(
            *(
                ResidualBlock(layers, channels if index else width, channels, kernel)
                for index in range(config.conv_blocks[stage + 4])
            )
        )

    def forward(
        self, features: Tensor, skip: Tensor, maps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Give features on the grid of ``skip`` and the map made of ``maps``."""
        grid = skip.shape[2:]
        upsampled = functional.interpolate(
            features, size=grid, mode=self.resize, align_corners=True
        )
        joined: Tensor = self.reduce(self.norm(torch.cat([upsampled, skip], dim=1)))
        semantic_map: Tensor = self.map_reduce(torch.cat(tuple(maps), dim=1))
        for block in self.attention:
            joined, semantic_map = block(joined, semantic_map)
        return self.convs(joined), semantic_map


def _attention_blocks(
    layers: LayerChoice,
    config: UTNetFamilyConfig,
    stage: int,
    in_channels: int,
    kernel: Sequence[int],
) -> nn.ModuleList:
    channels = config.stage_channels[stage]
    count = config.attention_blocks[stage]
    ends_at_up2 = is_medformer_3d(config) and stage == 5
    return nn.ModuleList(
        BidirectionalBlock(
            layers,
            channels if index else in_channels,
            channels,
            channels,
            config.heads[stage],
            kernel,
            config.expansion,
            config.attention_dropout,
            projects_map=not (ends_at_up2 and index == count - 1),
        )
        for index in range(count)
    )
