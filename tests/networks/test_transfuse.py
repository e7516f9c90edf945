from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import parity_transfuse
import pytest
import torch
from helpers import TINY_TRANSFUSE as SMALL
from torch import Tensor, nn

from napari_hybridseg.interop.state_dicts import StateDictError, convert_state_dict
from napari_hybridseg.networks import ArchitectureError, create_network, get_architecture
from napari_hybridseg.networks.transfuse import TransFuse, authors_names, constraints
from napari_hybridseg.networks.transfuse_config import TransFuseConfig

NAMES = ("transfuse-s", "transfuse-l", "transfuse-l384", "transfuse-lstar")


def small(in_channels: int = 3, num_classes: int = 2, **changes: Any) -> TransFuse:
    torch.manual_seed(0)
    network = create_network("transfuse-s", in_channels, num_classes, **SMALL | changes)
    assert isinstance(network, TransFuse)
    return network.eval()


def authors_state(network: TransFuse, config: TransFuseConfig) -> dict[str, Tensor]:
    state = network.state_dict()
    return {theirs: state[ours] for theirs, ours in authors_names(config).items()}


def test_equals_the_authors_code(golden: Path) -> None:
    parity_transfuse.check(golden / "transfuse_small.npz")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("transfuse-s", "transfuse_s.json"),
        ("transfuse-l", "transfuse_l.json"),
        ("transfuse-l384", "transfuse_l_384.json"),
    ],
)
def test_full_size_has_the_authors_parameters(golden: Path, name: str, file: str) -> None:
    expected = json.loads((golden / "keys" / file).read_text())
    config: Any = get_architecture(name).make_config()
    with torch.device("meta"):
        network = TransFuse(3, 1, config)
    found = {key: list(value.shape) for key, value in authors_state(network, config).items()}
    assert found == {key: shape for key, (shape, _dtype) in expected["keys"].items()}
    assert sum(parameter.numel() for parameter in network.parameters()) == expected["n_params"]


def test_lstar_has_a_big_transfer_branch() -> None:
    with torch.device("meta"):
        network = create_network("transfuse-lstar", 3, 1)
    names = {name for name, _ in network.named_parameters() if name.startswith("cnn.")}
    assert "cnn.stages.2.blocks.5.conv3.weight" in names
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(
        143.5, abs=0.1
    )


def test_starts_from_the_authors_distributions(golden: Path) -> None:
    expected = json.loads((golden / "transfuse_small.init_stats.json").read_text())
    meta = json.loads((golden / "transfuse_small.json").read_text())
    name, settings = parity_transfuse.build(meta)
    config: Any = get_architecture(name).make_config(settings)
    torch.manual_seed(0)
    state = authors_state(TransFuse(3, meta["num_classes"], config), config)
    # The authors' position embedding is an interpolated one, ours is drawn on its own grid.
    for key in expected.keys() - {"transformer.pos_embed"}:
        _shape, mean, std, low, high = expected[key]
        values = state[key]
        if low == high and values.numel() > 1:
            assert (values == low).all(), key
        elif values.numel() >= 32:
            slack = 5 * (2 / values.numel()) ** 0.5
            assert values.std().item() == pytest.approx(std, rel=slack), key
            assert values.mean().item() == pytest.approx(mean, abs=slack * std), key


@pytest.mark.parametrize("size", [(32, 48), (80, 32), (64, 64)])
def test_takes_any_size_that_16_divides(size: tuple[int, int]) -> None:
    assert constraints(TransFuseConfig(**SMALL)).allows(size)
    with torch.no_grad():
        heads = small(in_channels=2, num_classes=3).forward_heads(torch.randn(1, 2, *size))
    assert [tuple(head.shape) for head in heads] == [(1, 3, *size)] * 3


def test_other_sizes_are_not_allowed() -> None:
    allowed = constraints(TransFuseConfig())
    assert not allowed.allows((40, 32))
    assert not allowed.allows((16, 32))
    assert allowed.fit((33, 5)) == (48, 32)


def test_every_parameter_but_the_class_token_learns() -> None:
    network = small().train()
    image = torch.randn(2, 3, 32, 32)
    torch.stack([head.square().mean() for head in network.forward_heads(image)]).sum().backward()
    idle = [name for name, value in network.named_parameters() if value.grad is None]
    assert idle == ["transformer.cls_token"]


def test_predicts_from_the_last_fusion() -> None:
    network, image = small(), torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        first, tokens, last = network.forward_heads(image)
        assert torch.equal(network(image), last)
    assert not torch.equal(first, last)
    assert not torch.equal(tokens, last)
    assert network.head_weights == (0.2, 0.3, 0.5)


def test_attention_can_be_observed() -> None:
    network, seen = small(), {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, out: seen.__setitem__(name, out)

    names = [name for name, module in network.named_modules() if isinstance(module, nn.Sigmoid)]
    for name in names:
        network.get_submodule(name).register_forward_hook(keep(name))
    with torch.no_grad():
        network(torch.randn(1, 3, 32, 48))
    assert {name: tuple(value.shape) for name, value in seen.items()} == {
        "fuse_16.spatial_attention": (1, 1, 2, 3),
        "fuse_16.channel_attention": (1, 16, 1, 1),
        "fuse_8.spatial_attention": (1, 1, 4, 6),
        "fuse_8.channel_attention": (1, 16, 1, 1),
        "fuse_4.spatial_attention": (1, 1, 8, 12),
        "fuse_4.channel_attention": (1, 8, 1, 1),
        "merge_8.gate.attention": (1, 1, 4, 6),
        "merge_4.gate.attention": (1, 1, 8, 12),
    }


def test_the_authors_names_come_back_as_ours() -> None:
    network, config = small(), TransFuseConfig(**SMALL)
    state = authors_state(network, config)
    assert "up_c_1_2.attn_block.psi.0.weight" in state
    converted = convert_state_dict(
        {f"module.{key}": value for key, value in state.items()}, "transfuse-s", SMALL
    )
    assert converted.keys() == network.state_dict().keys()
    network.load_state_dict(converted)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(StateDictError, match=r"up3\.conv\.weight"):
        convert_state_dict({"up3.conv.weight": torch.zeros(1)}, "transfuse-s", SMALL)


def test_a_position_embedding_of_another_grid_is_refused() -> None:
    state = authors_state(small(), TransFuseConfig(**SMALL))
    with pytest.raises(StateDictError, match=r"4 patches, not of the grid 3 x 2"):
        convert_state_dict(state, "transfuse-s", SMALL | {"grid": (3, 2)})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_heads": 5}, "does not divide among 5 heads"),
        ({"embed_dim": 6, "num_heads": 3}, "multiple of 4"),
        ({"cnn": "bottleneck", "cnn_widths": (6, 8, 8)}, "multiple of 4"),
        ({"cnn": "bit", "cnn_widths": (64, 128, 256)}, "multiple of 128"),
        ({"drop_rate": 1.0}, "drop_rate"),
        ({"width": 3}, "it takes: cnn"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        create_network("transfuse-s", **config)


@pytest.mark.parametrize(
    "kind", [{"cnn": "bottleneck"}, {"cnn": "bit", "cnn_widths": (128, 128, 256)}]
)
def test_the_larger_branches_build_small(kind: dict[str, Any]) -> None:
    with torch.no_grad():
        assert small(**kind)(torch.randn(1, 3, 32, 32)).shape == (1, 2, 32, 32)


def test_names_and_paper_counts() -> None:
    for name in NAMES:
        architecture = get_architecture(name)
        assert architecture.spatial_dims == 2
        assert "bifusion" in architecture.explains
    assert get_architecture("transfuse-s").paper_parameters == 26.3
