from __future__ import annotations

import json

import parity_uxnet
import pytest
import torch
from parity_support import assert_same_distribution

from napari_hybridseg.interop.state_dicts import StateDictError, convert_state_dict
from napari_hybridseg.networks import ArchitectureError, create_network, get_architecture
from napari_hybridseg.networks.uxnet import UxBlock, authors_keys

TINY = {"depths": (1, 1, 1, 1), "feature_sizes": (8, 4, 4, 4), "hidden_size": 6, "kernel": 3}


def config_of(**settings):
    return get_architecture("uxnet-3d").make_config(settings)


def millions(num_classes=5, **settings):
    with torch.device("meta"):
        network = create_network("uxnet-3d", 1, num_classes, **settings)
    return sum(p.numel() for p in network.parameters()) / 1e6


@pytest.mark.parametrize("case", ["uxnet_small", "uxnet_block_legacy_mlp13"])
def test_equals_the_authors(golden, case):
    assert "output/0" in parity_uxnet.check(golden / f"{case}.npz")


def test_fresh_weights_are_distributed_like_the_authors(golden):
    name, config = parity_uxnet.build(json.loads((golden / "uxnet_small.json").read_text()))
    stats = json.loads((golden / "uxnet_small.init_stats.json").read_text())
    torch.manual_seed(0)
    ours = create_network(name, 1, 3, **config).state_dict()
    names = authors_keys(config_of(**config))
    assert_same_distribution({key: ours[name] for key, name in names.items()}, stats)


@pytest.mark.parametrize("case", ["uxnet_default", "uxnet_feta", "uxnet_flare", "uxnet_amos"])
def test_full_size_has_the_authors_parameters(golden, case):
    listing = json.loads((golden / "keys" / f"{case}.json").read_text())
    with torch.device("meta"):
        network = create_network("uxnet-3d", 1, listing["args"]["out_chans"])
        state = {key: torch.empty(shape) for key, (shape, _) in listing["keys"].items()}
    network.load_state_dict(convert_state_dict(state, "uxnet-3d"), strict=True, assign=True)
    assert sum(p.numel() for p in network.parameters()) == listing["n_params"]


@pytest.mark.parametrize(
    ("settings", "paper"),
    [
        ({}, 53.0),
        ({"kernel": 3}, 52.5),
        ({"kernel": 5}, 52.7),
        ({"kernel": 9}, 53.6),
        ({"kernel": 11}, 54.4),
        ({"kernel": 13}, 55.7),
    ],
)
def test_counts_of_the_paper(settings, paper):
    assert millions(**settings) == pytest.approx(paper, abs=0.06)


def test_counts_measured_with_the_authors_code():
    assert millions(block="mlp") == pytest.approx(56.128, abs=5e-4)
    # the paper's own count of this one is 32.1: see the architecture's note
    assert millions(depths=(2, 2, 8, 2), hidden_size=384) == pytest.approx(36.02, abs=5e-3)
    assert "32.1" in get_architecture("uxnet-3d").note


@pytest.mark.parametrize("block", ["dcs", "mlp", "legacy"])
@pytest.mark.parametrize("stem", [4, 12])
def test_any_stem_width_channels_and_size(block, stem):
    settings = {**TINY, "feature_sizes": (stem, 4, 8, 4), "block": block}
    with torch.device("meta"):
        network = create_network("uxnet-3d", 2, 3, **settings)
        heads = network.forward_heads(torch.randn(2, 2, 16, 32, 48))
    assert [tuple(head.shape) for head in heads] == [(2, 3, 16, 32, 48)]


def test_linear_block_is_the_ungrouped_convolution():
    legacy = UxBlock(6, kernel=5, kind="legacy", layer_scale=1.0)
    linear = UxBlock(6, kernel=5, kind="mlp", layer_scale=1.0)
    linear.load_state_dict(
        {key: value.view_as(linear.state_dict()[key]) for key, value in legacy.state_dict().items()}
    )
    features = torch.randn(2, 6, 5, 4, 7)
    torch.testing.assert_close(linear(features), legacy(features), atol=1e-6, rtol=1e-5)


def test_depthwise_scaling_keeps_channels_apart():
    block = UxBlock(4, kind="dcs")
    wide = torch.zeros(1, 4, 2, 2, 2)
    wide[:, 2] = 1.0
    moved = (block.widen(wide) - block.widen(torch.zeros_like(wide))).abs().amax(dim=(0, 2, 3, 4))
    assert moved.nonzero().flatten().tolist() == [8, 9, 10, 11]


def test_drop_path_grows_to_its_largest_in_the_last_block():
    network = create_network("uxnet-3d", 1, 2, **{**TINY, "depths": (2, 1, 1, 1)}, drop_path=0.4)
    rates = [
        getattr(block.drop_path, "drop_prob", 0.0)
        for stage in network.backbone.stages
        for block in stage
    ]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_shortcuts_that_old_monai_saved_unused_are_left_out():
    ours = create_network("uxnet-3d", 1, 2, **TINY).state_dict()
    authors = {key: ours[name] for key, name in authors_keys(config_of(**TINY)).items()}
    assert "decoder1.layer.conv3.conv.weight" not in authors
    authors["decoder1.layer.conv3.conv.weight"] = torch.zeros(8, 8, 1, 1, 1)
    assert set(convert_state_dict(authors, "uxnet-3d", TINY)) == set(ours)


def test_unknown_names_are_refused():
    state = {"swin.patch_embed.weight": torch.zeros(1), "out.conv.conv.bias": torch.zeros(1)}
    with pytest.raises(StateDictError, match=r"1 of the 2 .* swin\.patch_embed\.weight"):
        convert_state_dict(state, "uxnet-3d", TINY)


def test_training_reaches_every_parameter():
    network = create_network("uxnet-3d", 1, 2, **TINY)
    network(torch.randn(1, 1, 16, 32, 32)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_runs_on_the_device_it_is_on():
    with torch.device("meta"):
        network = create_network("uxnet-3d", 1, 2, **TINY)
    assert network(torch.empty(1, 1, 96, 96, 96, device="meta")).shape == (1, 2, 96, 96, 96)


def test_constraints():
    constraints = get_architecture("uxnet-3d").constraints(config_of())
    assert constraints.allows((96, 96, 96))
    assert constraints.fit((17, 40, 1)) == (32, 48, 32)
    smallest = constraints.fit((1, 1, 1))
    with torch.device("meta"):
        network = create_network("uxnet-3d", 1, 2, **TINY)
    assert network(torch.randn(1, 1, *smallest, device="meta")).shape[2:] == smallest


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kernel": 4}, "kernel"),
        ({"kernel": 15}, "kernel"),
        ({"block": "grouped"}, "block"),
        ({"depths": (2, 2, 2)}, "depths"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"width": 3}, "no setting 'width'"),
    ],
)
def test_refused_settings(settings, reason):
    with pytest.raises(ArchitectureError, match=reason):
        create_network("uxnet-3d", 1, 2, **settings)
