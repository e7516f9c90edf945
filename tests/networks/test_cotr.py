from __future__ import annotations

import json

import numpy as np
import parity_cotr
import pytest
import torch
from parity_support import assert_same_distribution
from torch import nn

from napari_hybridseg.interop.state_dicts import StateDictError, convert_state_dict
from napari_hybridseg.networks import ArchitectureError, create_network, get_architecture
from napari_hybridseg.networks.base import network_heads
from napari_hybridseg.networks.cotr import authors_keys
from napari_hybridseg.networks.deformable import DeformableAttention3d
from napari_hybridseg.networks.deformable_transformer import position_encoding

NAMES = {"cotr": "cotr", "cotr_dagger": "cotr-dagger", "cotr_star": "cotr-star"}
TINY = {"widths": (4, 6, 12), "heads": 2, "layers": 1, "points": 2, "ffn": 8}
PREFIX = "U_ResTran3D."


@pytest.mark.parametrize("sampler", ["gather", "grid_sample"])
@pytest.mark.parametrize("case", ["cotr_small", "cotr_star_small_ws"])
def test_equals_the_authors(golden, case, sampler):
    found = parity_cotr.check(golden / f"{case}.npz", sampler=sampler)
    assert {f"output/{head}" for head in range(4)} <= set(found)


def test_corrected_axis_order_is_another_function(golden):
    with pytest.raises(AssertionError, match=r"sampling_locations"):
        parity_cotr.check(golden / "cotr_small.npz", axis_order="corrected")


def test_offsets_start_as_the_authors_do(golden):
    with np.load(golden / "cotr_init_full.npz") as case:
        expected = case["sampling_offsets_bias"]
    attention = DeformableAttention3d(384, heads=6, levels=2, points=4)
    np.testing.assert_allclose(attention.offsets.bias.detach(), expected, atol=1e-6)
    assert not attention.offsets.weight.any()


@pytest.mark.parametrize(("level", "shape"), [(0, (12, 24, 24)), (1, (6, 12, 12))])
def test_position_encoding_is_the_authors(golden, level, shape):
    with np.load(golden / "cotr_init_full.npz") as case:
        expected = case[f"pos_lvl{level}_diag"]
    encoding = position_encoding(shape, 384, torch.device("cpu"), torch.float32)
    steps = np.arange(shape[0])
    diagonal = encoding.view(*shape, 384)[steps, 2 * steps, shape[2] - 1 - 2 * steps]
    np.testing.assert_allclose(diagonal, expected, atol=2e-6)


@pytest.mark.parametrize("case", ["cotr_small", "cotr_star_small_ws"])
def test_fresh_weights_are_distributed_like_the_authors(golden, case):
    name, config = parity_cotr.build(json.loads((golden / f"{case}.json").read_text()))
    stats = json.loads((golden / f"{case}.init_stats.json").read_text())
    torch.manual_seed(0)
    ours = create_network(name, 1, 4, **config).state_dict()
    names = authors_keys(get_architecture(name).make_config(config))
    assert_same_distribution({PREFIX + key: ours[name] for key, name in names.items()}, stats)


@pytest.mark.parametrize("case", NAMES)
def test_full_size_has_the_authors_parameters(golden, case):
    listing = json.loads((golden / "keys" / f"{case}.json").read_text())
    with torch.device("meta"):
        network = create_network(NAMES[case], 1, 14)
        state = {key: torch.empty(shape) for key, (shape, _) in listing["keys"].items()}
    network.load_state_dict(convert_state_dict(state, NAMES[case]), strict=True, assign=True)
    count = sum(p.numel() for p in network.parameters())
    assert count == listing["n_params"]
    assert count / 1e6 == pytest.approx(get_architecture(NAMES[case]).paper_parameters, abs=0.05)


def test_unknown_names_are_refused():
    state = {PREFIX + "backbone.layer9.0.conv1.weight": torch.zeros(1)}
    with pytest.raises(StateDictError, match=r"backbone\.layer9\.0\.conv1\.weight"):
        convert_state_dict(state, "cotr", TINY)


def test_names_go_there_and_back():
    config = get_architecture("cotr-star").make_config({**TINY, "norm": "batch"})
    names = authors_keys(config)
    ours = create_network("cotr-star", 1, 3, **{**TINY, "norm": "batch"}).state_dict()
    assert sorted(names.values()) == sorted(ours)
    authors = {f"module.{PREFIX}{key}": ours[name] for key, name in names.items()}
    back = convert_state_dict(authors, "cotr-star", config.model_dump())
    assert all(back[key] is value for key, value in ours.items())


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_heads_grids_and_weights(norm):
    network = create_network("cotr-star", 3, 5, norm=norm, **TINY).eval()
    image = torch.randn(2, 3, 8, 32, 48)
    with torch.no_grad():
        heads = network_heads(network, image)
        torch.testing.assert_close(network(image), heads[0])
    assert [tuple(head.shape) for head in heads] == [
        (2, 5, 8, 32, 48),
        (2, 5, 8, 16, 24),
        (2, 5, 4, 8, 12),
        (2, 5, 2, 4, 6),
    ]
    assert network.head_weights == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15))


def test_runs_on_the_device_it_is_on():
    with torch.device("meta"):
        network = create_network("cotr", 1, 2, **TINY)
    assert network(torch.empty(1, 1, 16, 32, 32, device="meta")).device.type == "meta"


def test_training_reaches_every_parameter():
    network = create_network("cotr-star", 1, 2, **TINY)
    sum(
        head.square().mean() for head in network.forward_heads(torch.randn(1, 1, 8, 32, 32))
    ).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_constraints():
    architecture = get_architecture("cotr")
    constraints = architecture.constraints(architecture.make_config())
    assert constraints.allows((48, 192, 192))
    assert constraints.fit((9, 33, 5)) == (16, 48, 32)
    smallest = constraints.fit((1, 1, 1))
    with torch.device("meta"):
        network = create_network("cotr-star", 1, 2, **TINY)
    assert network(torch.randn(1, 1, *smallest, device="meta")).shape[2:] == smallest


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"heads": 5}, "multiple of 5"),
        ({"widths": (4, 6, 8), "heads": 2}, "multiple of 6"),
        ({"widths": (8, 24, 48), "norm": "group"}, "multiples of 16"),
        ({"widths": (1, 6, 12), "weight_standardisation": True}, "widths of 2 or more"),
        ({"axis_order": "xyz"}, "axis_order"),
        ({"blocks": (3, 3)}, "blocks"),
        ({"depth": 3}, "no setting 'depth'; it takes: blocks, widths"),
    ],
)
def test_refused_settings(settings, reason):
    with pytest.raises(ArchitectureError, match=reason):
        create_network("cotr", 1, 2, **settings)


def test_encoder_activation_is_the_encoders_alone():
    network = create_network("cotr-star", 1, 2, encoder_activation="relu", **TINY)
    kinds = {
        part: {
            type(m)
            for m in getattr(network, part).modules()
            if isinstance(m, nn.ReLU | nn.LeakyReLU)
        }
        for part in ("encoder", "decoder_blocks")
    }
    assert kinds == {"encoder": {nn.ReLU}, "decoder_blocks": {nn.LeakyReLU}}


def test_group_norm_has_sixteen_groups():
    network = create_network("cotr-star", 1, 2, widths=(16, 32, 48), norm="group", layers=1)
    groups = {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)}
    assert groups == {16}
