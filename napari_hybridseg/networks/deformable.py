"""Multi-scale deformable self-attention over 3D feature maps.

Source: Xie, Zhang, Shen, Xia, "CoTr: Efficiently Bridging CNN and Transformer for 3D Medical
Image Segmentation", MICCAI 2021 (arXiv 2103.03024), section 2.2, equations (1) and (2).

A query looks at a few points only. Around its own place in each of the feature maps it reads
``points`` values per head, at offsets that it chooses itself, and sums them with weights that
it chooses itself.

Conventions. A feature map has the shape (Z, Y, X); the maps of all levels are flattened (X
fastest) and put one after the other as tokens. A sampling location is a fraction (x, y, z) of
the map, from 0 at the map's lower face to 1 at its upper face, **whichever the axis order**;
the value there is trilinear between voxel centres, and zero outside the map.

Axis order. The authors' code builds reference points in the order (z, x, y) and then reads
them as (x, y, z), so the query at (z, y, x) looks around (y, x, z). Weights trained with that
code need ``"legacy"``, which keeps the permutation. ``"corrected"`` is what the paper says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.older_python import zip

AxisOrder = Literal["corrected", "legacy"]
Sampler = Literal["gather", "grid_sample"]
MapShapes = Sequence[tuple[int, int, int]]
_ROWS_AT_ONCE = 1 << 20


class SamplingGrid(NamedTuple):
    """Where the tokens of all levels lie: what every layer's attention shares.

    Attributes
    ----------
    shapes : sequence of (Z, Y, X)
        Shape of each level's feature map.
    reference : Tensor
        Shape (tokens, 3): the place that each token looks around, fractions (x, y, z).
    unit : Tensor
        Shape (levels, 3): what an offset of one moves a location by, fractions (x, y, z).
    """

    shapes: MapShapes
    reference: Tensor
    unit: Tensor


def sampling_grid(
    shapes: MapShapes, axis_order: AxisOrder, device: torch.device, dtype: torch.dtype
) -> SamplingGrid:
    """Lay the tokens of feature maps of these shapes out.

    With the corrected order a token looks around its own place and an offset is in voxels of
    the map; with the legacy order x, y and z of both are taken from z, x and y.
    """
    order = (2, 1, 0) if axis_order == "corrected" else (0, 2, 1)
    levels = []
    for shape in shapes:
        centres = [(torch.arange(n, device=device, dtype=dtype) + 0.5) / n for n in shape]
        zyx = torch.meshgrid(*centres, indexing="ij")
        levels.append(torch.stack([zyx[axis] for axis in order], dim=-1).flatten(0, 2))
    unit = [[1 / shape[axis] for axis in order] for shape in shapes]
    return SamplingGrid(shapes, torch.cat(levels), torch.tensor(unit, device=device, dtype=dtype))


def sample_by_level(value: Tensor, shapes: MapShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Sum the sampled values, one ``grid_sample`` per level: the reference.

    Parameters
    ----------
    value : Tensor
        Shape (N, tokens, heads, channels).
    shapes : sequence of (Z, Y, X)
        Shape of each level's feature map.
    locations : Tensor
        Shape (N, queries, heads, levels, points, 3), fractions (x, y, z).
    weights : Tensor
        Shape (N, queries, heads, levels, points).

    Returns
    -------
    Tensor
        Shape (N, queries, heads * channels).
    """
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    maps = value.split([math.prod(shape) for shape in shapes], dim=1)
    total = value.new_zeros(batch * heads, channels, queries)
    for level, (tokens, shape) in enumerate(zip(maps, shapes, strict=True)):
        image = tokens.permute(0, 2, 3, 1).reshape(batch * heads, channels, *shape)
        grid = locations[:, :, :, level].transpose(1, 2).flatten(0, 1).unsqueeze(-2) * 2 - 1
        sampled = functional.grid_sample(image, grid, align_corners=False).squeeze(-1)
        weight = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        total = total + (sampled * weight.unsqueeze(1)).sum(dim=-1)
    return total.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2)


def sample_by_gather(
    value: Tensor, shapes: MapShapes, locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum the sampled values with one weighted look-up over all heads, levels and points.

    Every point reads the eight voxels around it, so a query's head is one bag of
    ``levels * 8 * points`` rows of the value table; no sampled value is ever stored. Many
    queries are taken in parts, whose indices and weights stay in the processor's cache.
    Parameters and result are those of ``sample_by_level``.
    """
    # asked first: what is recorded holds for batches of any size, so nothing may depend on it
    if value.is_cuda or _is_recorded():
        return _gather(value, shapes, locations, weights)
    queries, *per_query = weights.shape[1:]
    part = max(1, _ROWS_AT_ONCE // (8 * weights.shape[0] * math.prod(per_query)))
    if part >= queries:
        return _gather(value, shapes, locations, weights)
    parts = zip(locations.split(part, dim=1), weights.split(part, dim=1), strict=True)
    return torch.cat([_gather(value, shapes, *one) for one in parts], dim=1)


def _is_recorded() -> bool:
    """Tell whether torch writes down what is done, where each part would be written again."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def _gather(value: Tensor, shapes: MapShapes, locations: Tensor, weights: Tensor) -> Tensor:
    batch, tokens, heads, channels = value.shape
    item = torch.arange(batch, device=value.device, dtype=torch.int32).view(-1, 1, 1, 1)
    head = torch.arange(heads, device=value.device, dtype=torch.int32).view(-1, 1)
    rows, row_weights = [], []
    start = 0
    for level, shape in enumerate(shapes):
        first_row = (item * tokens + start) * heads + head
        for row, share in _corners(locations[:, :, :, level], shape, heads):
            rows.append(first_row + row)
            row_weights.append(weights[:, :, :, level] * share)
        start += math.prod(shape)
    table = value.reshape(-1, channels)
    bags = torch.cat(rows, dim=-1), torch.cat(row_weights, dim=-1)
    if torch.onnx.is_in_onnx_export():  # ONNX knows no bag with weights
        return (table[bags[0]] * bags[1].unsqueeze(-1)).sum(dim=-2).flatten(2)
    sums = functional.embedding_bag(
        bags[0].flatten(0, 2), table, per_sample_weights=bags[1].flatten(0, 2), mode="sum"
    )
    return sums.view(batch, -1, heads * channels)


def _corners(
    locations: Tensor, shape: tuple[int, int, int], stride: int
) -> list[tuple[Tensor, Tensor]]:
    """Give the flat index, in steps of ``stride``, and trilinear weight of 8 voxels around.

    A voxel outside the map has the weight zero and some index inside the map.
    """
    axes = []
    # X is the fastest axis of the index and the first component of a location
    for axis, size in enumerate(reversed(shape)):
        position = locations[..., axis] * size - 0.5
        below = position.floor()
        sides = []
        for voxel, share in ((below, below + 1 - position), (below + 1, position - below)):
            # clamping the integer keeps even the index of a NaN inside the map
            index = voxel.to(torch.int32).clamp(0, size - 1) * stride
            sides.append((index, share * ((voxel >= 0) & (voxel < size))))
        axes.append(sides)
        # not in place: while torch traces, the stride is a tensor that belongs to the caller
        stride = stride * size
    return [
        (z + y + x, z_share * y_share * x_share)
        for (x, x_share), (y, y_share), (z, z_share) in itertools.product(*axes)
    ]


class DeformableAttention3d(nn.Module):
    """Multi-scale deformable self-attention of tokens that lie in 3D feature maps.

    Two submodules have no parameters and only mark a place where a forward hook can look:
    ``sampling_locations`` passes on (N, queries, heads, levels, points, 3), fractions
    (x, y, z); ``attention_weights`` gives (N, queries, heads, levels * points), which sum
    to 1 over the last axis.

    Parameters
    ----------
    width : int
        Channels of a token; a multiple of ``heads``.
    heads, levels, points : int
        Sampled are ``points`` locations per head in each of the ``levels`` maps.
    sampler : {"gather", "grid_sample"}
        How the values are read; the results agree to rounding.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        levels: int,
        points: int,
        sampler: Sampler = "gather",
    ) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampler: Sampler = sampler
        self.offsets = nn.Linear(width, heads * levels * points * 3)
        self.logits = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.sampling_locations = nn.Identity()
        self.attention_weights = nn.Softmax(dim=-1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let each head look in its own direction, point k at k + 1 steps, all weights equal."""
        nn.init.zeros_(self.offsets.weight)
        with torch.no_grad():
            self.offsets.bias.copy_(self._initial_offsets().flatten())
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def _initial_offsets(self) -> Tensor:
        angle = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        sine, cosine = angle.sin(), angle.cos()
        direction = torch.stack((cosine, sine * cosine, sine * sine), dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.points + 1, dtype=torch.float32)
        offsets = direction[:, None, None, :] * steps[:, None]
        return offsets.expand(self.heads, self.levels, self.points, 3)

    def forward(self, query: Tensor, tokens: Tensor, grid: SamplingGrid) -> Tensor:
        """Give every query its weighted sum of sampled token values.

        Parameters
        ----------
        query : Tensor
            Shape (N, tokens, width): the tokens with their position added.
        tokens : Tensor
            Shape (N, tokens, width).
        grid : SamplingGrid
            Where the tokens lie.

        Returns
        -------
        Tensor
            Shape (N, tokens, width).
        """
        per_head = (self.heads, self.levels * self.points)
        value = self.value(tokens).unflatten(-1, (self.heads, -1))
        locations = self.sampling_locations(self._locations(query, grid))
        weights = self.attention_weights(self.logits(query).unflatten(-1, per_head))
        sampled = self.sample(
            value.to(locations.dtype),
            grid.shapes,
            locations,
            weights.to(locations.dtype).unflatten(-1, (self.levels, self.points)),
        )
        return self.output(sampled.to(value.dtype))

    def sample(
        self, value: Tensor, shapes: MapShapes, locations: Tensor, weights: Tensor
    ) -> Tensor:
        """Sum the sampled values; parameters and result are those of ``sample_by_level``."""
        by = sample_by_gather if self.sampler == "gather" else sample_by_level
        return by(value, shapes, locations, weights)

    def _locations(self, query: Tensor, grid: SamplingGrid) -> Tensor:
        offsets = self.offsets(query).to(grid.reference.dtype)
        offsets = offsets.unflatten(-1, (self.heads, self.levels, self.points, 3))
        around = grid.reference[:, None, None, None, :]
        return around + offsets * grid.unit[:, None, :]
