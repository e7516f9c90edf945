"""The blocks of TransFuse: BiFusion, its gated upsampling, and the token decoder's steps.

Source: Zhang, Liu, Hu, "TransFuse: Fusing Transformers and CNNs for Medical Image
Segmentation", MICCAI 2021 (arXiv 2102.08005), section 2. What can be observed with a forward
hook is a submodule without parameters: ``spatial_attention`` and ``channel_attention`` of
``BiFusion``, ``attention`` of ``AttentionGate``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size, a batch norm and, if wanted, a ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        relu: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
        self.norm = nn.BatchNorm2d(out_channels)
        if relu:
            self.relu = nn.ReLU(inplace=True)


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, and a 1x1 convolution beside them."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels, 3, relu=True)
        self.conv2 = ConvNorm(out_channels, out_channels, 3)
        self.shortcut = ConvNorm(in_channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y, X)."""
        out: Tensor = self.relu(self.conv2(self.conv1(features)) + self.shortcut(features))
        return out


class UpBlock(nn.Module):
    """Doubling of the size, then a double convolution: a step of the token decoder."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, 2 Y, 2 X)."""
        out: Tensor = self.conv(self.up(features))
        return out


class AttentionGate(nn.Module):
    """An additive attention gate (Oktay et al. 2018, arXiv 1804.03999).

    The submodule ``attention`` gives the gate, (N, 1, Y, X).
    """

    def __init__(self, gating_channels: int, skip_channels: int, inner: int):
        super().__init__()
        self.gating = ConvNorm(gating_channels, inner, 1)
        self.skip = ConvNorm(skip_channels, inner, 1)
        self.relu = nn.ReLU(inplace=True)
        self.score = ConvNorm(inner, 1, 1)
        self.attention = nn.Sigmoid()

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """Scale ``skip`` (N, C, Y, X) by what ``gating``, on the same grid, finds relevant."""
        scores = self.score(self.relu(self.gating(gating) + self.skip(skip)))
        out: Tensor = skip * self.attention(scores)
        return out


class GatedUpBlock(nn.Module):
    """Doubling of the size, a gated skip, then a double convolution."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.gate = AttentionGate(in_channels, skip_channels, out_channels)
        self.conv = DoubleConv(in_channels + skip_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) and a skip (N, C, 2 Y, 2 X) to (N, out_channels, 2 Y, 2 X)."""
        raised = self.up(features)
        out: Tensor = self.conv(torch.cat([self.gate(raised, skip), raised], dim=1))
        return out


class PreActResidual(nn.Module):
    """A bottleneck with norm and activation before each convolution, and a 1x1 beside it."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        inner = out_channels // 2
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, inner, 1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1)
        self.norm3 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y, X)."""
        residual = self.conv1(self.relu(self.norm1(features)))
        residual = self.conv2(self.relu(self.norm2(residual)))
        residual = self.conv3(self.relu(self.norm3(residual)))
        out: Tensor = residual + self.shortcut(features)
        return out


class BiFusion(nn.Module):
    """The fusion of both branches at one size (equation 2).

    The convolutions' features are weighted in space, the tokens' by channel, and their product
    adds what both agree on.

    Parameters
    ----------
    cnn_channels, token_channels : int
        Channels of the two branches.
    reduction : int
        How much the channel attention squeezes the tokens' channels.
    out_channels : int
        Channels of the product and of the output.
    drop_rate : float
        Chance of leaving out a channel of the output, in training.

    Notes
    -----
    The submodule ``spatial_attention`` gives (N, 1, Y, X), ``channel_attention`` gives
    (N, token_channels, 1, 1) and ``product`` gives (N, out_channels, Y, X).
    """

    def __init__(
        self,
        cnn_channels: int,
        token_channels: int,
        reduction: int,
        out_channels: int,
        drop_rate: float = 0.0,
    ):
        super().__init__()
        self.squeeze = nn.Conv2d(token_channels, token_channels // reduction, 1)
        self.excite = nn.Conv2d(token_channels // reduction, token_channels, 1)
        self.channel_attention = nn.Sigmoid()
        self.spatial_score = ConvNorm(2, 1, 7, bias=False)
        self.spatial_attention = nn.Sigmoid()
        self.cnn_projection = ConvNorm(cnn_channels, out_channels, 1)
        self.token_projection = ConvNorm(token_channels, out_channels, 1)
        self.product = ConvNorm(out_channels, out_channels, 3, relu=True)
        self.residual = PreActResidual(cnn_channels + token_channels + out_channels, out_channels)
        self.drop = nn.Dropout2d(drop_rate)

    def forward(self, cnn: Tensor, tokens: Tensor) -> Tensor:
        """Map (N, cnn_channels, Y, X) and (N, token_channels, Y, X) to (N, out_channels, Y, X)."""
        product = self.product(self.cnn_projection(cnn) * self.token_projection(tokens))
        extremes = torch.cat([cnn.amax(1, keepdim=True), cnn.mean(1, keepdim=True)], dim=1)
        where = self.spatial_attention(self.spatial_score(extremes))
        mean = tokens.mean((2, 3), keepdim=True)
        which = self.channel_attention(self.excite(self.squeeze(mean).relu()))
        joined = torch.cat([cnn * where, tokens * which, product], dim=1)
        out: Tensor = self.drop(self.residual(joined))
        return out
