from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from parity_support import assert_same_distribution
from torch import nn

from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.interop.state_dicts import StateDictError
from napari_hybridseg.networks import (
    ArchitectureError,
    Constraints,
    create_network,
    get_architecture,
)
from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.utnetv2 import authors_key_map
from napari_hybridseg.networks.utnetv2_layers import DropPath, space_to_depth

CASES = ("utnetv2_3d_small", "utnetv2_2d_small", "medformer_2d_small", "medformer_3d_small")
KEY_LISTS = (
    "utnetv2_2d_acdc",
    "utnetv2_3d_acdc",
    "medformer_2d_acdc",
    "medformer_3d_acdc",
    "medformer_3d_bcv",
    "medformer_3d_kits",
    "medformer_3d_lits",
    "medformer_3d_amos_ct",
)
PAPER_PARAMETERS = {
    "utnetv2-2d": 12_794_148,
    "utnetv2-3d": 15_338_852,
    "medformer-2d": 19_187_560,
    "medformer-3d": 21_826_408,
}
TINY = {
    "base_channels": 4,
    "heads": [1, 2, 2, 4, 2, 2, 1, 1],
    "fusion_dim": 16,
    "fusion_heads": 2,
    "fusion_depth": 1,
}
TINY_OF = {
    "utnetv2-2d": TINY,
    "utnetv2-3d": TINY,
    "medformer-2d": TINY,
    "medformer-3d": TINY | {"encoder_channels": [8, 16, 32, 40]},
}


def smallest_image(name: str, batch: int = 1) -> torch.Tensor:
    architecture = get_architecture(name)
    size = architecture.constraints(architecture.make_config(TINY_OF[name])).minimum
    return torch.randn(batch, 1, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("case", CASES)
def test_network_computes_what_the_authors_network_computes(golden: Path, case: str) -> None:
    differences = parity.check(golden / f"{case}.npz")
    assert len(differences) > 60


@pytest.mark.parametrize("listing", KEY_LISTS)
def test_full_size_state_dict_has_the_authors_names_and_shapes(golden: Path, listing: str) -> None:
    published = json.loads((golden / "keys" / f"{listing}.json").read_text())
    name, config = parity.build(published)
    in_channels, classes, *_ = published["args"]
    with torch.device("meta"):
        network = create_network(name, in_channels, classes, **config)
        foreign = {key: torch.empty(shape) for key, (shape, _) in published["keys"].items()}
    network.load_state_dict(convert_state_dict(foreign, name, config), strict=True)
    assert sum(p.numel() for p in network.parameters()) == published["n_params"]


@pytest.mark.parametrize(("name", "count"), PAPER_PARAMETERS.items())
def test_default_is_the_papers_full_size(name: str, count: int) -> None:
    architecture = get_architecture(name)
    with torch.device("meta"):
        network = create_network(name, in_channels=1, num_classes=4)
    assert sum(p.numel() for p in network.parameters()) == count
    if architecture.paper_parameters is not None:
        assert round(count / 1e6, 1) == architecture.paper_parameters


@pytest.mark.parametrize("case", CASES)
def test_fresh_weights_are_spread_like_the_authors(golden: Path, case: str) -> None:
    meta = json.loads((golden / f"{case}.json").read_text())
    statistics = json.loads((golden / f"{case}.init_stats.json").read_text())
    name, config = parity.build(meta)
    torch.manual_seed(0)
    network = create_network(name, *meta["args"], **config)
    theirs = authors_key_map(get_architecture(name).make_config(config))
    ours = {theirs[key]: weight for key, weight in network.named_parameters()}
    assert_same_distribution(ours, statistics)
    for key, weight in ours.items():
        _, _, spread, low, high = statistics[key]
        if low == high:
            assert (weight == low).all(), key
        elif weight.numel() >= 100:
            # five standard errors of the ratio of two samples' spreads, for a uniform law
            slack = 5 * math.sqrt(2 * 0.8 / 4 / weight.numel())
            assert weight.std().item() / spread == pytest.approx(1, abs=slack), key


@pytest.mark.parametrize("name", TINY_OF)
def test_attention_weights_of_every_block_sum_to_one(name: str) -> None:
    network = create_network(name, 1, 3, **TINY_OF[name]).eval()
    sums: dict[str, float] = {}

    def check_sum(module: nn.Module, _inputs: object, weights: torch.Tensor) -> None:
        assert isinstance(module, nn.Softmax)
        total = weights.sum(dim=module.dim)
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
        sums[names[module]] = total.mean().item()

    names = {
        module: key for key, module in network.named_modules() if isinstance(module, nn.Softmax)
    }
    for module in names:
        module.register_forward_hook(check_sum)
    with torch.no_grad():
        network(smallest_image(name))
    assert set(sums) == set(names.values())
    for what in ("pooling", "token_to_map", "map_to_token", "attention.weights"):
        assert any(key.endswith(what) for key in sums), what


@pytest.mark.parametrize("name", TINY_OF)
def test_smallest_window_trains_and_keeps_its_grid(name: str) -> None:
    network = create_network(name, 1, 3, **TINY_OF[name]).train()
    image = smallest_image(name, batch=2)
    assert isinstance(network, SegmentationNetwork)
    heads = network.forward_heads(image)
    assert [tuple(head.shape) for head in heads] == [(2, 3, *image.shape[2:])] * len(heads)
    assert len(heads) == len(network.head_weights) == (2 if "medformer" in name else 1)
    sum(head.square().mean() for head in heads).backward()
    # what feeds only the map that leaves up2 has no effect, in the authors' networks too
    idle = {key for key, weight in network.named_parameters() if weight.grad is None}
    assert all("map_reduce" in key or key.startswith("decoder.1.attention") for key in idle)


@pytest.mark.parametrize("name", ["medformer-2d", "medformer-3d"])
def test_auxiliary_head_can_be_left_out_and_does_not_change_the_prediction(name: str) -> None:
    torch.manual_seed(0)
    network = create_network(name, 1, 3, **TINY_OF[name]).eval()
    alone = create_network(name, 1, 3, **TINY_OF[name], auxiliary_head=False).eval()
    missing, unexpected = alone.load_state_dict(network.state_dict(), strict=False)
    assert (missing, set(unexpected)) == ([], {"auxiliary_head.weight", "auxiliary_head.bias"})
    image = smallest_image(name)
    with torch.no_grad():
        assert torch.equal(alone(image), network(image))


def test_dropped_paths_and_dropout_act_in_training_only() -> None:
    torch.manual_seed(0)
    network = create_network("utnetv2-3d", 1, 3, **TINY, drop_path=0.5, attention_dropout=0.5)
    image = smallest_image("utnetv2-3d")
    with torch.no_grad():
        assert not torch.equal(network(image), network(image))
        network.eval()
        assert torch.equal(network(image), network(image))


def test_a_dropped_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("name", ["utnetv2-3d", "medformer-2d"])
def test_linear_projection_has_no_spatial_kernel_in_attention(name: str) -> None:
    network = create_network(name, 1, 3, **TINY_OF[name], projection="linear").eval()
    kernels = {
        weight.shape[2:].numel()
        for key, weight in network.named_parameters()
        if ".attention." in key and weight.ndim > 3
    }
    assert kernels == {1}
    image = smallest_image(name)
    with torch.no_grad():
        assert network(image).shape[2:] == image.shape[2:]


def test_order_of_merged_positions_is_the_authors() -> None:
    image = torch.arange(4).reshape(1, 1, 2, 2)
    assert space_to_depth(image, (2, 2)).flatten().tolist() == [0, 2, 1, 3]
    volume = torch.arange(8).reshape(1, 1, 2, 2, 2)
    assert space_to_depth(volume, (2, 2, 2)).flatten().tolist() == list(range(8))
    assert space_to_depth(volume, (1, 2, 2)).shape == (1, 4, 2, 1, 1)


def test_constraints_follow_the_scales() -> None:
    architecture = get_architecture("utnetv2-3d")
    acdc = architecture.constraints(architecture.make_config())
    assert acdc == Constraints(divisors=(4, 16, 16), minimum=(4, 32, 32))
    isotropic = architecture.make_config({"scales": [[2, 2, 2]] * 4})
    assert architecture.constraints(isotropic).divisors == (16, 16, 16)
    flat = get_architecture("medformer-2d")
    assert flat.constraints(flat.make_config()).minimum == (32, 32)


@pytest.mark.parametrize(
    ("name", "config", "word"),
    [
        ("utnetv2-3d", {"heads": [1, 3, 4, 4, 4, 4, 1, 1]}, "3 heads do not divide the 128"),
        (
            "utnetv2-3d",
            {"encoder_channels": [8, 1, 8, 8], "heads": [1] * 8},
            "1 channels of down2, widened by 1, are too few",
        ),
        ("utnetv2-3d", {"fusion_heads": 5}, "fusion_heads 5"),
        ("utnetv2-3d", {"map_size": [2, 6]}, "map_size needs 1 x 3"),
        ("utnetv2-3d", {"map_size": [1, 1, 1]}, "more than one token"),
        ("utnetv2-3d", {"kernels": [[3, 3, 3]] * 4}, "kernels needs 5 x 3"),
        ("utnetv2-2d", {"kernels": [[2, 2]] * 5}, "odd"),
        ("utnetv2-2d", {"scales": [[3, 3]] * 4}, "scales"),
        ("utnetv2-2d", {"scales": [[2, 2]] * 3}, "scales needs 4 x 2"),
        ("utnetv2-2d", {"attention_blocks": [1, 1, 1, 1, 1, 1, 0, 0]}, "down1"),
        ("utnetv2-2d", {"attention_blocks": [0, 1, 1, 1]}, "attention_blocks"),
        ("utnetv2-2d", {"base_channels": 0}, "base_channels"),
        ("utnetv2-2d", {"activation": "tanh"}, "activation"),
        ("utnetv2-2d", {"auxiliary_head": True}, "auxiliary_head"),
        ("medformer-3d", {"conv_blocks": [2, 0, 0, 0, 0, 0, 0, 2]}, "up3"),
        ("medformer-3d", {"attention_dropout": 1.0}, "attention_dropout"),
    ],
)
def test_nonsense_is_refused_with_its_name(name: str, config: dict, word: str) -> None:
    with pytest.raises(ArchitectureError, match=word):
        create_network(name, 1, 2, **config)


@pytest.mark.parametrize("name", TINY_OF)
def test_a_wrapped_file_with_the_authors_names_loads_as_it_was(name: str) -> None:
    saved = create_network(name, 1, 2, **TINY_OF[name]).state_dict()
    names = authors_key_map(get_architecture(name).make_config(TINY_OF[name]))
    foreign = {f"module.{names[key]}": value for key, value in saved.items()}
    assert len(foreign) == len(saved)
    converted = convert_state_dict(foreign, name, TINY_OF[name])
    assert {key: id(value) for key, value in converted.items()} == {
        key: id(value) for key, value in saved.items()
    }


def test_parameters_without_effect_in_old_medformer_files_are_left_out() -> None:
    config = TINY_OF["medformer-3d"]
    names = authors_key_map(get_architecture("medformer-3d").make_config(config))
    dead = {
        "up3.map_reduction.weight": torch.zeros(8, 16, 1, 1, 1),
        "up4.map_reduction.weight": torch.zeros(4, 8, 1, 1, 1),
        "up2.trans_blocks.blocks.1.attn.map_out.weight": torch.zeros(16, 16, 1, 1, 1),
    }
    state = {key: torch.zeros(1) for key in names.values()} | dead
    assert set(convert_state_dict(state, "medformer-3d", config)) == set(names)


def test_file_of_the_other_variant_is_refused_by_its_first_strange_name(golden: Path) -> None:
    with np.load(golden / "utnetv2_3d_small.npz") as case:
        state = {
            key.removeprefix("state/"): torch.from_numpy(case[key])
            for key in case.files
            if key.startswith("state/")
        }
    with pytest.raises(StateDictError, match=r"map_projection\.weight"):
        convert_state_dict(state, "medformer-3d", TINY_OF["medformer-3d"])
