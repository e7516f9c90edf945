"""The convolutional building blocks of UTNetV2 and MedFormer, for slices and for volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from napari_hybridseg.older_python import zip

LINEAR_MODE = {2: "bilinear", 3: "trilinear"}
_CONV: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_ACTIVATION = {"gelu": nn.GELU, "relu": nn.ReLU}
_PLAIN_EPSILON = 1e-5


@dataclass(frozen=True)
class LayerChoice:
    """Which layers a network is made of; makes them."""

    dims: Literal[2, 3]
    norm_kind: Literal["batch", "instance"]
    norm_epsilon: float
    activation_kind: Literal["gelu", "relu"]
    projection_kind: Literal["depthwise", "linear"]
    drop_path: float

    @property
    def one(self) -> tuple[int, ...]:
        """The 1x1 kernel."""
        return (1,) * self.dims

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        groups: int = 1,
        bias: bool = False,
    ) -> nn.Module:
        """Make a convolution that keeps the grid."""
        return _CONV[self.dims](
            in_channels,
            out_channels,
            tuple(kernel),
            padding=tuple(length // 2 for length in kernel),
            groups=groups,
            bias=bias,
        )

    def norm(self, channels: int, epsilon: float = _PLAIN_EPSILON) -> nn.Module:
        """Make a norm over the grid."""
        kinds = _BATCH_NORM if self.norm_kind == "batch" else _INSTANCE_NORM
        return kinds[self.dims](channels, eps=epsilon)

    def activation(self) -> nn.Module:
        """Make the nonlinearity."""
        return _ACTIVATION[self.activation_kind]()

    def projection(self, in_channels: int, out_channels: int, kernel: Sequence[int]) -> nn.Module:
        """Make what projects tokens: a depthwise separable or a 1x1 convolution."""
        if self.projection_kind == "linear":
            return self.conv(in_channels, out_channels, self.one)
        return DepthwiseSeparableConv(self, in_channels, out_channels, kernel)


class PreActConv(nn.Module):
    """Norm, nonlinearity, convolution, in this order."""

    def __init__(
        self,
        layers: LayerChoice,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.norm = layers.norm(in_channels, layers.norm_epsilon)
        self.activation = layers.activation() if activate else nn.Identity()
        self.conv = layers.conv(in_channels, out_channels, kernel, groups)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, ...) to (N, out, ...)."""
        convolved: Tensor = self.conv(self.activation(self.norm(features)))
        return convolved


class ResidualBlock(nn.Module):
    """Two pre-activated convolutions and a shortcut.

    Where the width changes, the shortcut is itself a pre-activated convolution with the
    block's kernel, as in the authors' code.
    """

    def __init__(
        self, layers: LayerChoice, in_channels: int, out_channels: int, kernel: Sequence[int]
    ) -> None:
        super().__init__()
        self.first = PreActConv(layers, in_channels, out_channels, kernel)
        self.second = PreActConv(layers, out_channels, out_channels, kernel)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = PreActConv(layers, in_channels, out_channels, kernel)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, ...) to (N, out, ...)."""
        refined: Tensor = self.second(self.first(features)) + self.shortcut(features)
        return refined


class DepthwiseSeparableConv(nn.Module):
    """A convolution per channel, then a 1x1 convolution across channels."""

    def __init__(
        self, layers: LayerChoice, in_channels: int, out_channels: int, kernel: Sequence[int]
    ) -> None:
        super().__init__()
        self.depthwise = layers.conv(in_channels, in_channels, kernel, groups=in_channels)
        self.pointwise = layers.conv(in_channels, out_channels, layers.one)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, ...) to (N, out, ...)."""
        mixed: Tensor = self.pointwise(self.depthwise(features))
        return mixed


class SqueezeExcite(nn.Module):
    """Gate every channel by what all channels hold on average (Hu et al. 2018)."""

    def __init__(self, layers: LayerChoice, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.squeeze = layers.conv(channels, channels // ratio, layers.one, bias=True)
        self.excite = layers.conv(channels // ratio, channels, layers.one, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        """Scale (N, C, ...) channel by channel."""
        average = features.mean(dim=tuple(range(2, features.ndim)), keepdim=True)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(average))))
        return features * gate


class DropPath(nn.Module):
    """Leave a residual branch out for random samples of the batch, in training only."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Zero whole samples of (N, ...) and scale up the others."""
        if not self.training or self.probability == 0:
            return branch
        keep = 1 - self.probability
        mask = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(keep)
        return branch * mask / keep


class MBConv(nn.Module):
    """Inverted residual block: the feed-forward part of an attention block.

    With the ``"linear"`` projection it is the fused form: one 1x1 convolution takes the place
    of the widening and the depthwise convolution.
    """

    def __init__(
        self, layers: LayerChoice, channels: int, expansion: int, kernel: Sequence[int]
    ) -> None:
        super().__init__()
        wide = channels * expansion
        fused = layers.projection_kind == "linear"
        self.expand: nn.Module = nn.Identity()
        self.depthwise: nn.Module = nn.Identity()
        if fused or expansion > 1:
            self.expand = PreActConv(layers, channels, wide, layers.one)
        if not fused:
            self.depthwise = PreActConv(layers, wide, wide, kernel, groups=wide)
        self.gate = SqueezeExcite(layers, wide)
        self.project = PreActConv(layers, wide, channels, layers.one, activate=False)
        self.drop_path = DropPath(layers.drop_path)

    def forward(self, features: Tensor) -> Tensor:
        """Refine (N, C, ...)."""
        branch = self.project(self.gate(self.depthwise(self.expand(features))))
        refined: Tensor = features + self.drop_path(branch)
        return refined


class PatchMerging(nn.Module):
    """Downsample by moving neighbouring positions into channels and mixing those.

    The order of the positions differs between the authors' networks, and decides what a
    trained weight means: the first axis runs fastest in 2D, the last one in 3D.
    """

    def __init__(
        self,
        layers: LayerChoice,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        scale: Sequence[int],
    ) -> None:
        super().__init__()
        self.scale = tuple(scale)
        merged = in_channels
        for factor in scale:
            merged *= factor
        self.norm = layers.norm(merged)
        self.reduce = layers.projection(merged, out_channels, kernel)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, Z, Y, X) to (N, out, Z / scale, Y / scale, X / scale)."""
        reduced: Tensor = self.reduce(self.norm(space_to_depth(features, self.scale)))
        return reduced


def space_to_depth(features: Tensor, scale: Sequence[int]) -> Tensor:
    """Move the ``scale`` neighbouring positions of each axis into channels.

    Parameters
    ----------
    features : Tensor
        Shape (N, C, Y, X) or (N, C, Z, Y, X); each axis divisible by its scale.
    scale : sequence of int
        One factor per spatial axis.

    Returns
    -------
    Tensor
        Shape (N, product(scale) * C, ...), channel fastest; see ``PatchMerging``.
    """
    dims = len(scale)
    split: list[int] = list(features.shape[:2])
    for length, factor in zip(features.shape[2:], scale, strict=True):
        split += [length // factor, factor]
    grid = [2 + 2 * axis for axis in range(dims)]
    offsets = [3 + 2 * axis for axis in range(dims)]
    if dims == 2:
        offsets.reverse()
    moved = features.reshape(split).permute(0, *offsets, 1, *grid)
    return moved.flatten(1, dims + 1)
