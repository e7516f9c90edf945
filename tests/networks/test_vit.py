from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_hybridseg.networks.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    ResNetV2,
    StandardisedConv,
)
from napari_hybridseg.networks.vit import Attention, VisionTransformer, resize_positions


def test_positions_on_the_same_grid_stay() -> None:
    positions = torch.randn(1, 6, 4)
    assert torch.equal(resize_positions(positions, (2, 3), (2, 3)), positions)


def test_positions_keep_their_corners_and_are_linear_between() -> None:
    ramp = torch.stack(torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij"), -1)
    resized = resize_positions(ramp.view(1, 12, 2), (3, 4), (5, 7)).view(5, 7, 2)
    assert torch.allclose(resized[:, 0, 0], torch.linspace(0, 2, 5))
    assert torch.allclose(resized[0, :, 1], torch.linspace(0, 3, 7))


def test_attention_equals_torchs_own_and_is_observable() -> None:
    torch.manual_seed(0)
    layer, tokens = Attention(dim=12, num_heads=3), torch.randn(2, 5, 12)
    seen: list[Tensor] = []
    layer.attention.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with torch.no_grad():
        out = layer(tokens)
        query, key, value = (
            part.view(2, 5, 3, 4).transpose(1, 2) for part in layer.qkv(tokens).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        expected = layer.proj(mixed.transpose(1, 2).reshape(2, 5, 12))
    assert torch.allclose(out, expected, atol=1e-6)
    assert seen[0].shape == (2, 3, 5, 5)
    assert torch.allclose(seen[0].sum(-1), torch.ones(2, 3, 5))


def test_tokens_run_along_x_first() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(1, dim=8, depth=0, num_heads=1, grid=(2, 3)).eval()
    image = torch.zeros(1, 1, 32, 48)
    with torch.no_grad():
        before = network(image)
        image[..., 0:16, 32:48] = 1.0
        changed = (network(image) != before).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [2]


def test_positions_matter_at_any_size() -> None:
    network = VisionTransformer(1, dim=8, depth=1, num_heads=2, grid=(2, 2)).eval()
    with torch.no_grad():
        tokens = network(torch.zeros(1, 1, 48, 64))
    assert tokens.shape == (1, 12, 8)
    assert not torch.allclose(tokens[:, 0], tokens[:, 11])


@pytest.mark.parametrize(
    ("network", "millions"),
    [
        # torchvision's resnet34 and resnet50 without layer4 and fc.
        (lambda: ResNet(3, BasicBlock, (3, 4, 6), (64, 128, 256)), 8.170304),
        (lambda: ResNet(3, Bottleneck, (3, 4, 6), (256, 512, 1024)), 8.543296),
        # timm's resnetv2_50x1_bit without its last stage, norm and head.
        (lambda: ResNetV2(3, (3, 4, 6), (256, 512, 1024)), 8.537664),
    ],
)
def test_residual_branches_have_the_public_files_size(network, millions: float) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        branch = network()
    assert sum(parameter.numel() for parameter in branch.parameters()) == millions * 1e6


def test_residual_branches_give_three_sizes() -> None:
    image = torch.randn(1, 2, 32, 64)
    for branch in (
        ResNet(2, Bottleneck, (1, 2, 1), (8, 16, 32)),
        ResNetV2(2, (1, 2, 1), (128, 128, 256)),
    ):
        with torch.no_grad():
            shapes = [tuple(features.shape[2:]) for features in branch.eval()(image)]
        assert shapes == [(8, 16), (4, 8), (2, 4)]


def test_standardised_convolution_ignores_scale_and_offset_of_its_filters() -> None:
    torch.manual_seed(0)
    conv, features = StandardisedConv(4, 8, 3, padding=1), torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        before = conv(features)
        conv.weight.mul_(7.0).add_(3.0)
        assert torch.allclose(conv(features), before, atol=1e-4)
