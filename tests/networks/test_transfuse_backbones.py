from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from helpers import TINY_TRANSFUSE
from mutations import MUTATIONS
from safetensors.torch import save_file
from torch import Tensor

from napari_hybridseg.networks.resnet import BasicBlock, ResNet, ResNetV2
from napari_hybridseg.networks.transfuse import TransFuse
from napari_hybridseg.networks.transfuse_backbones import (
    BackboneWeightsError,
    load_backbone_weights,
)
from napari_hybridseg.networks.transfuse_config import TransFuseConfig
from napari_hybridseg.networks.vit import VisionTransformer, resize_positions

SMALL = TransFuseConfig(**TINY_TRANSFUSE | {"grid": (2, 3)})


def transformer_file(depth: int = 3, extra_tokens: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(1)
    network = VisionTransformer(3, dim=16, depth=depth, num_heads=2, grid=(4, 4))
    state = {key: torch.randn_like(value) for key, value in network.state_dict().items()}
    state["pos_embed"] = torch.randn(1, 16 + extra_tokens, 16)
    return state | {"head.weight": torch.randn(10, 16)}


def cnn_file() -> dict[str, Tensor]:
    torch.manual_seed(1)
    state = ResNet(3, BasicBlock, (1, 1, 1), (8, 16, 32)).state_dict()
    state = {
        key: torch.randn_like(value) if value.is_floating_point() else value
        for key, value in state.items()
    }
    return state | {"fc.weight": torch.randn(10, 64), "layer4.0.conv1.weight": torch.randn(64, 32)}


def test_a_deit_file_fills_the_transformer(tmp_path: Path) -> None:
    state, network = transformer_file(), TransFuse(3, 1, SMALL)
    torch.save({"model": state}, tmp_path / "deit.pth")
    before = network.cnn.conv1.weight.clone()
    assert load_backbone_weights(network, tmp_path / "deit.pth") == "transformer"
    branch = network.transformer
    assert torch.equal(branch.blocks[0].attn.qkv.weight, state["blocks.0.attn.qkv.weight"])
    expected = resize_positions(state["pos_embed"][:, 1:], (4, 4), (2, 3))
    assert torch.equal(branch.pos_embed, expected)
    assert torch.equal(network.cnn.conv1.weight, before)


def test_a_position_embedding_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = transformer_file() | {"pos_embed": torch.zeros(17)}
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(BackboneWeightsError, match="has no position embedding"):
        load_backbone_weights(TransFuse(3, 1, SMALL), tmp_path / "odd.pth")


def test_a_torchvision_file_fills_the_cnn(tmp_path: Path) -> None:
    state, network = cnn_file(), TransFuse(3, 1, SMALL)
    save_file(state, tmp_path / "resnet.safetensors")
    assert load_backbone_weights(network, tmp_path / "resnet.safetensors") == "cnn"
    assert torch.equal(network.cnn.layer3[0].conv2.weight, state["layer3.0.conv2.weight"])
    assert torch.equal(network.cnn.bn1.running_mean, state["bn1.running_mean"])


def test_a_grey_image_excites_the_filters_as_its_colour_copy(tmp_path: Path) -> None:
    state, network = cnn_file(), TransFuse(1, 1, SMALL).eval()
    torch.save(state, tmp_path / "resnet.pth")
    load_backbone_weights(network, tmp_path / "resnet.pth")
    grey = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        expected = torch.conv2d(grey.expand(-1, 3, -1, -1), state["conv1.weight"], stride=2)
        found = torch.conv2d(grey, network.cnn.conv1.weight, stride=2)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_big_transfer_file_fits_lstar_only(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"cnn": "bit", "cnn_widths": (128, 128, 256)})
    state = ResNetV2(3, (1, 1, 1), (128, 128, 256)).state_dict()
    save_file(state, tmp_path / "bit.safetensors")
    network = TransFuse(3, 1, config)
    assert load_backbone_weights(network, tmp_path / "bit.safetensors") == "cnn"
    assert torch.equal(network.cnn.stem.conv.weight, state["stem.conv.weight"])
    with pytest.raises(BackboneWeightsError, match="no weights of a network"):
        load_backbone_weights(TransFuse(3, 1, SMALL), tmp_path / "bit.safetensors")


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    state, network = cnn_file(), TransFuse(3, 1, SMALL)
    del state["layer2.0.conv1.weight"]
    before = network.cnn.conv1.weight.clone()
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(BackboneWeightsError, match=r"part\.pth .* layer2\.0\.conv1\.weight"):
        load_backbone_weights(network, tmp_path / "part.pth")
    assert torch.equal(network.cnn.conv1.weight, before)


def test_a_distilled_deit_is_refused(tmp_path: Path) -> None:
    torch.save(transformer_file(extra_tokens=2), tmp_path / "distilled.pth")
    with pytest.raises(BackboneWeightsError, match="distilled"):
        load_backbone_weights(TransFuse(3, 1, SMALL), tmp_path / "distilled.pth")


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors", "absent.pth"])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(BackboneWeightsError, match="cannot be read"):
        load_backbone_weights(TransFuse(3, 1, SMALL), tmp_path / name)


def test_a_pickled_object_is_refused_unread(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(BackboneWeightsError, match="cannot be read"):
        load_backbone_weights(TransFuse(3, 1, SMALL), tmp_path / "module.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_refused_or_read(tmp_path: Path, zipped: bool) -> None:
    path, network = tmp_path / "deit.pth", TransFuse(3, 1, SMALL)
    torch.save({"a": torch.ones(9)}, path, _use_new_zipfile_serialization=zipped)
    whole, rng = path.read_bytes(), random.Random(0)
    for index in range(80):
        path.write_bytes(MUTATIONS[index % len(MUTATIONS)](whole, rng, len(whole) // 2))
        with pytest.raises(BackboneWeightsError):
            load_backbone_weights(network, path)
