"""CoTr's transformer: deformable attention over the tokens of two feature maps.

Source: the paper named in ``deformable``, section 2.2, and its published code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.networks.deformable import (
    AxisOrder,
    DeformableAttention3d,
    Sampler,
    SamplingGrid,
    sampling_grid,
)
from napari_hybridseg.older_python import zip

LEVELS = 2


def position_encoding(
    shape: tuple[int, int, int], width: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Give the sine and cosine encoding of each voxel's place in its map.

    A third of the features is for each of z, y and x, in that order. Feature i of an axis is
    the sine (i even) or cosine (i odd) of ``2 pi (index + 0.5) / size / 10000^e`` with
    ``e = 3 * floor(i / 3) / (width / 3)``: the authors' code (the paper's supplement pairs
    the features by two).

    Returns
    -------
    Tensor
        Shape (Z * Y * X, width).
    """
    per_axis = width // 3
    feature = torch.arange(per_axis, device=device)
    frequency = 10000.0 ** (-3.0 * (feature // 3).to(dtype) / per_axis)
    encodings = []
    for axis, size in enumerate(shape):
        place = (torch.arange(size, device=device, dtype=dtype) + 0.5) * (2 * math.pi / size)
        phase = place[:, None] * frequency
        encoding = torch.where(feature % 2 == 0, phase.sin(), phase.cos())
        view = [1, 1, 1, per_axis]
        view[axis] = size
        encodings.append(encoding.view(view).expand(*shape, per_axis))
    return torch.cat(encodings, dim=-1).flatten(0, 2)


class DeformableLayer(nn.Module):
    """Deformable attention and a feed-forward network, each followed by sum and layer norm."""

    def __init__(
        self, width: int, heads: int, points: int, ffn: int, dropout: float, sampler: Sampler
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention3d(width, heads, LEVELS, points, sampler)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, ffn)
        self.linear2 = nn.Linear(ffn, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, tokens: Tensor, position: Tensor, grid: SamplingGrid) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        attended = self.attention(tokens + position, tokens, grid)
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(functional.gelu(self.linear1(tokens)))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


class DeformableTransformer(nn.Module):
    """The transformer over the tokens of two feature maps.

    Parameters
    ----------
    width : int
        Channels of the maps; a multiple of ``heads`` and of 6.
    heads, layers, points, ffn, dropout
        See ``cotr.CotrConfig``.
    axis_order : {"corrected", "legacy"}
        See ``deformable``.
    sampler : {"gather", "grid_sample"}
        See ``deformable``.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        layers: int,
        points: int,
        ffn: int,
        dropout: float,
        axis_order: AxisOrder,
        sampler: Sampler,
    ) -> None:
        super().__init__()
        self.axis_order: AxisOrder = axis_order
        self.level_embed = nn.Parameter(torch.empty(LEVELS, width))
        self.layers = nn.ModuleList(
            DeformableLayer(width, heads, points, ffn, dropout, sampler) for _ in range(layers)
        )
        nn.init.normal_(self.level_embed)

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Map each level's features (N, width, Z, Y, X) to the same shape."""
        # plain numbers even while torch traces, where a size is a tensor that arithmetic alters
        shapes = [(int(z), int(y), int(x)) for z, y, x in (level.shape[2:] for level in maps)]
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        # places in half precision would be voxels off
        exact = torch.promote_types(tokens.dtype, torch.float32)
        grid = sampling_grid(shapes, self.axis_order, tokens.device, exact)
        position = self._positions(grid).to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, position, grid)
        levels = tokens.split([math.prod(shape) for shape in shapes], dim=1)
        return tuple(
            level.transpose(1, 2).unflatten(2, shape)
            for level, shape in zip(levels, shapes, strict=True)
        )

    def _positions(self, grid: SamplingGrid) -> Tensor:
        width = self.level_embed.shape[1]
        like = grid.reference
        return torch.cat(
            [
                position_encoding(shape, width, like.device, like.dtype) + embedding
                for shape, embedding in zip(grid.shapes, self.level_embed, strict=True)
            ]
        )
