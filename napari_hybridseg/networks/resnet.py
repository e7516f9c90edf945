"""The convolution branches of TransFuse: residual networks up to 1/16 of the image's size.

Sources: He et al., "Deep Residual Learning", CVPR 2016 (arXiv 1512.03385) for ResNet-34 and
ResNet-50; Kolesnikov et al., "Big Transfer", ECCV 2020 (arXiv 1912.11370) for ResNetV2 with
group norm and standardised convolutions. Parameter names are those of the public weight files:
torchvision's for ResNet, timm's for ResNetV2.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.older_python import zip

PerStage = tuple[int, int, int]
Pyramid = tuple[Tensor, Tensor, Tensor]

EXPANSION = 4
GROUPS = 32


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y / stride, X / stride)."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        out: Tensor = self.relu(residual + self.downsample(features))
        return out


class Bottleneck(nn.Module):
    """A 1x1 convolution, a 3x3 with the stride, a 1x1 that widens, and a sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        inner = out_channels // EXPANSION
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y / stride, X / stride)."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        out: Tensor = self.relu(residual + self.downsample(features))
        return out


class ResNet(nn.Module):
    """ResNet without its last stage.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    block : type
        ``BasicBlock`` for ResNet-34, ``Bottleneck`` for ResNet-50.
    layers : tuple of int
        Blocks of each of the three stages.
    widths : tuple of int
        Channels that each stage gives.
    drop_rate : float
        Chance of leaving out a channel after each stage, in training.
    """

    def __init__(
        self,
        in_channels: int,
        block: type[BasicBlock] | type[Bottleneck],
        layers: PerStage,
        widths: PerStage,
        drop_rate: float = 0.0,
    ):
        super().__init__()
        stem = widths[0] if block is BasicBlock else widths[0] // EXPANSION
        self.conv1 = nn.Conv2d(in_channels, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _blocks(block, stem, widths[0], layers[0], 1)
        self.layer2 = _blocks(block, widths[0], widths[1], layers[1], 2)
        self.layer3 = _blocks(block, widths[1], widths[2], layers[2], 2)
        self.drop = nn.Dropout2d(drop_rate)
        _initialise(self)

    def forward(self, image: Tensor) -> Pyramid:
        """Map (N, C, Y, X) to the features at 1/4, 1/8 and 1/16 of that size."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        quarter = self.drop(self.layer1(stem))
        eighth = self.drop(self.layer2(quarter))
        return quarter, eighth, self.drop(self.layer3(eighth))


class StandardisedConv(nn.Conv2d):
    """A convolution, each of whose filters is used with mean 0 and variance 1."""

    def forward(self, features: Tensor) -> Tensor:
        """Convolve (N, C, Y, X)."""
        filters = self.weight.flatten(1)
        mean = filters.mean(1, keepdim=True)
        variance = filters.var(1, keepdim=True, unbiased=False)
        weight = ((filters - mean) / (variance + 1e-8).sqrt()).view_as(self.weight)
        return functional.conv2d(features, weight, self.bias, self.stride, self.padding)


class PreActBottleneck(nn.Module):
    """The bottleneck of ResNetV2: norm and activation come before each convolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        inner = out_channels // EXPANSION
        self.norm1 = nn.GroupNorm(GROUPS, in_channels)
        self.conv1 = StandardisedConv(in_channels, inner, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, inner)
        self.conv2 = StandardisedConv(inner, inner, 3, stride, 1, bias=False)
        self.norm3 = nn.GroupNorm(GROUPS, inner)
        self.conv3 = StandardisedConv(inner, out_channels, 1, bias=False)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            conv = StandardisedConv(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(OrderedDict(conv=conv))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y / stride, X / stride)."""
        active = functional.relu(self.norm1(features))
        shortcut = features if self.downsample is None else self.downsample(active)
        residual = self.conv1(active)
        residual = self.conv2(functional.relu(self.norm2(residual)))
        residual = self.conv3(functional.relu(self.norm3(residual)))
        out: Tensor = residual + shortcut
        return out


class ResNetV2(nn.Module):
    """ResNetV2 without its last stage and its final norm.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    layers : tuple of int
        Blocks of each of the three stages.
    widths : tuple of int
        Channels that each stage gives, multiples of 128.
    drop_rate : float
        Chance of leaving out a channel after each stage, in training.
    """

    def __init__(
        self, in_channels: int, layers: PerStage, widths: PerStage, drop_rate: float = 0.0
    ):
        super().__init__()
        stem = widths[0] // EXPANSION
        self.stem = nn.Sequential(
            OrderedDict(
                conv=StandardisedConv(in_channels, stem, 7, 2, 3, bias=False),
                # Zeros, not the pool's own minus infinity, surround the features, as in BiT.
                pad=nn.ConstantPad2d(1, 0.0),
                pool=nn.MaxPool2d(3, 2),
            )
        )
        self.stages = nn.ModuleList(
            nn.Sequential(OrderedDict(blocks=_blocks(PreActBottleneck, *widths_of, count, stride)))
            for widths_of, count, stride in zip(
                ((stem, widths[0]), (widths[0], widths[1]), (widths[1], widths[2])),
                layers,
                (1, 2, 2),
                strict=True,
            )
        )
        self.drop = nn.Dropout2d(drop_rate)
        _initialise(self)

    def forward(self, image: Tensor) -> Pyramid:
        """Map (N, C, Y, X) to the features at 1/4, 1/8 and 1/16 of that size."""
        quarter = self.drop(self.stages[0](self.stem(image)))
        eighth = self.drop(self.stages[1](quarter))
        return quarter, eighth, self.drop(self.stages[2](eighth))


def _blocks(
    block: type[BasicBlock] | type[Bottleneck] | type[PreActBottleneck],
    in_channels: int,
    out_channels: int,
    count: int,
    stride: int,
) -> nn.Sequential:
    return nn.Sequential(
        block(in_channels, out_channels, stride),
        *(block(out_channels, out_channels, 1) for _ in range(count - 1)),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
