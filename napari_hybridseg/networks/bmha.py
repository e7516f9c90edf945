"""Bidirectional multi-head attention and the semantic map it reads and writes.

Gao et al., "A Multi-scale Transformer for Medical Image Segmentation" (UTNetV2, arXiv
2203.00131v2): tokens of the feature map (X) and the few tokens of a semantic map (M) attend to
each other, at a cost that is linear in the size of the image.

What a person may want to see is the output of a submodule without parameters, so that a forward
hook can take it: ``logits``, ``token_to_map`` and ``map_to_token`` of ``BidirectionalAttention``,
``pooling`` of ``SemanticMapGeneration``, ``weights`` of ``FusionAttention``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.utnetv2_layers import LayerChoice, MBConv, PreActConv
from napari_hybridseg.older_python import zip

_MAP_KERNEL = 3


class SemanticMapGeneration(nn.Module):
    """Pool a feature map into a few tokens, each a weighted mean over all positions."""

    def __init__(
        self, layers: LayerChoice, in_channels: int, map_channels: int, map_size: Sequence[int]
    ) -> None:
        super().__init__()
        kernel = (_MAP_KERNEL,) * layers.dims
        tokens = 1
        for length in map_size:
            tokens *= length
        self.map_size = tuple(map_size)
        self.values = layers.conv(in_channels, map_channels, kernel)
        self.scores = layers.conv(in_channels, tokens, kernel)
        self.pooling = nn.Softmax(dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, ...) to a semantic map (N, map channels, *map size).

        ``pooling`` gives the weights, (N, map tokens, positions).
        """
        weights = self.pooling(self.scores(features).flatten(2))
        values = self.values(features).flatten(2)
        return (values @ weights.transpose(1, 2)).unflatten(2, self.map_size)


class BidirectionalAttention(nn.Module):
    """Tokens attend to the map and the map to the tokens, through one matrix of logits.

    Parameters
    ----------
    layers : LayerChoice
        What the projections are made of.
    in_channels, out_channels : int
        Width of the features that come in and go out.
    map_channels : int
        Width of the map, in and out.
    heads : int
        Divides ``out_channels``; a channel's head is its index modulo ``heads``.
    kernel : sequence of int
        Of the depthwise convolutions in the features' projections.
    dropout : float
        On the map's attention; the tokens' own has none.
    projects_map : bool
        Whether what the map collects goes through a 1x1 convolution.
    """

    def __init__(
        self,
        layers: LayerChoice,
        in_channels: int,
        map_channels: int,
        out_channels: int,
        heads: int,
        kernel: Sequence[int],
        dropout: float = 0.0,
        projects_map: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_channels = out_channels // heads
        self.feature_query_value = layers.projection(in_channels, 2 * out_channels, kernel)
        self.map_query_value = layers.conv(map_channels, 2 * out_channels, layers.one)
        self.feature_out = layers.projection(out_channels, out_channels, kernel)
        self.map_out: nn.Module = nn.Identity()
        if projects_map:
            self.map_out = layers.conv(out_channels, map_channels, layers.one)
        self.logits = nn.Identity()
        self.token_to_map = nn.Softmax(dim=-1)
        self.map_to_token = nn.Softmax(dim=-2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, semantic_map: Tensor) -> tuple[Tensor, Tensor]:
        """Give what features and map learn from each other.

        Parameters
        ----------
        features : Tensor
            Shape (N, in channels, ...).
        semantic_map : Tensor
            Shape (N, map channels, *map size).

        Returns
        -------
        features : Tensor
            Shape (N, out channels, ...).
        semantic_map : Tensor
            Shape of the input's.
        """
        feature_query, feature_value = self._split(self.feature_query_value(features))
        map_query, map_value = self._split(self.map_query_value(semantic_map))
        map_query = map_query * self.head_channels**-0.5
        # one product serves both directions: the queries of each side are the other side's keys
        logits = self.logits(feature_query.transpose(-1, -2) @ map_query)
        gathered = map_value @ self.token_to_map(logits).transpose(-1, -2)
        new_features = self.feature_out(self._join(gathered, features.shape[2:]))
        collected = feature_value @ self.dropout(self.map_to_token(logits))
        return new_features, self.map_out(self._join(collected, semantic_map.shape[2:]))

    def _split(self, query_value: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (N, 2 * C, ...) into query and value, each (N, heads, head channels, tokens)."""
        tokens = query_value.flatten(2).unflatten(1, (2, self.head_channels, self.heads))
        query, value = tokens.transpose(2, 3).unbind(1)
        return query, value

    @staticmethod
    def _join(tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Turn (N, heads, head channels, tokens) into (N, C, *grid)."""
        return tokens.transpose(1, 2).flatten(1, 2).unflatten(2, tuple(grid))


class BidirectionalBlock(nn.Module):
    """Bidirectional attention, then an inverted residual block on the features only."""

    def __init__(
        self,
        layers: LayerChoice,
        in_channels: int,
        map_channels: int,
        out_channels: int,
        heads: int,
        kernel: Sequence[int],
        expansion: int,
        dropout: float = 0.0,
        projects_map: bool = True,
    ) -> None:
        super().__init__()
        self.feature_norm = layers.norm(in_channels)
        self.map_norm = layers.norm(map_channels)
        self.attention = BidirectionalAttention(
            layers, in_channels, map_channels, out_channels, heads, kernel, dropout, projects_map
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = PreActConv(layers, in_channels, out_channels, layers.one)
        self.feed_forward = MBConv(layers, out_channels, expansion, kernel)

    def forward(self, features: Tensor, semantic_map: Tensor) -> tuple[Tensor, Tensor]:
        """Give features (N, out channels, ...) and the map in its own shape."""
        attended, collected = self.attention(
            self.feature_norm(features), self.map_norm(semantic_map)
        )
        refined = self.feed_forward(attended + self.shortcut(features))
        return refined, semantic_map + collected


class FusionAttention(nn.Module):
    """Self-attention over the tokens of all maps.

    Heads are split head-major. The authors' code joins them dim-major (all but MedFormer 3D),
    which permutes the channels that the output projection sees; a trained weight needs it so.
    """

    def __init__(
        self, channels: int, heads: int, merge: Literal["dim-major", "head-major"]
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_channels = channels // heads
        self.merge = merge
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        self.weights = nn.Softmax(dim=-1)
        self.out = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, tokens, C) to the same shape; ``weights`` gives (N, heads, tokens, tokens)."""
        split = self.query_key_value(tokens).unflatten(-1, (3, self.heads, self.head_channels))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights = self.weights((query * self.head_channels**-0.5) @ key.transpose(-1, -2))
        order = (0, 2, 1, 3) if self.merge == "head-major" else (0, 2, 3, 1)
        attended: Tensor = self.out((weights @ value).permute(order).flatten(2))
        return attended


class FusionLayer(nn.Module):
    """A pre-norm transformer layer whose perceptron is as wide as its tokens."""

    def __init__(
        self, channels: int, heads: int, merge: Literal["dim-major", "head-major"]
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = FusionAttention(channels, heads, merge)
        self.perceptron_norm = nn.LayerNorm(channels)
        self.perceptron_in = nn.Linear(channels, channels)
        self.perceptron_out = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Refine (N, tokens, C)."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        hidden = functional.gelu(self.perceptron_in(self.perceptron_norm(tokens)))
        refined: Tensor = tokens + self.perceptron_out(hidden)
        return refined


class SemanticMapFusion(nn.Module):
    """Let the maps of all scales attend to each other (the paper's multi-scale fusion)."""

    def __init__(
        self,
        layers: LayerChoice,
        map_channels: Sequence[int],
        fusion_channels: int,
        heads: int,
        depth: int,
        merge: Literal["dim-major", "head-major"],
    ) -> None:
        super().__init__()
        self.project_in = nn.ModuleList(
            layers.conv(channels, fusion_channels, layers.one) for channels in map_channels
        )
        self.layers = nn.ModuleList(
            FusionLayer(fusion_channels, heads, merge) for _ in range(depth)
        )
        self.project_out = nn.ModuleList(
            layers.conv(fusion_channels, channels, layers.one) for channels in map_channels
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Mix the maps, finest scale first; each keeps its shape (N, C_i, *map size)."""
        grid = tuple(maps[0].shape[2:])
        projected = [
            project(one_map).flatten(2)
            for project, one_map in zip(self.project_in, maps, strict=True)
        ]
        tokens = torch.cat(projected, dim=2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        mixed = tokens.transpose(1, 2).chunk(len(maps), dim=2)
        return tuple(
            project(part.unflatten(2, grid))
            for project, part in zip(self.project_out, mixed, strict=True)
        )
