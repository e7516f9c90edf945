from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, SwinUNETR
from safetensors.torch import save
from small_networks import BASELINES as SMALL
from small_networks import NNUNET
from torch import nn

from napari_hybridseg.networks import (
    ArchitectureError,
    baselines,
    create_network,
    get_architecture,
    nnunet_baselines,
)
from napari_hybridseg.networks.base import SegmentationNetwork, network_heads
from napari_hybridseg.networks.baseline_configs import DynUnetConfig, PlainConvUnetConfig

NAMES = [entry.name for entry in baselines.ARCHITECTURES]


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest) -> None:
    if any(f"[{name}" in request.node.name for name in NNUNET):
        pytest.importorskip("dynamic_network_architectures")


def small(name: str, dims: int, **changes: Any) -> tuple[nn.Module, tuple[int, ...]]:
    """Give a small network of two channels and three classes, and its smallest window."""
    if name in {"plain-conv-unet", "residual-encoder-unet"}:
        pytest.importorskip("dynamic_network_architectures")
    settings = SMALL[name] | {"spatial_dims": dims} | changes
    if name == "unetr":
        settings["img_size"] = settings["img_size"][:dims]
    architecture = get_architecture(name)
    size = architecture.constraints(architecture.make_config(settings)).minimum
    torch.manual_seed(0)
    return create_network(name, 2, 3, **settings), size


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_window_maps_to_logits_on_its_grid(name: str, dims: int) -> None:
    network, size = small(name, dims)
    assert len(size) == dims
    with torch.no_grad():
        out = network.eval()(torch.randn(1, 2, *size))
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "unetr"])
def test_a_divisor_more_is_allowed_on_every_axis(name: str) -> None:
    network, size = small(name, 2)
    architecture = get_architecture(name)
    config = architecture.make_config(SMALL[name] | {"spatial_dims": 2})
    divisors = architecture.constraints(config).divisors
    larger = tuple(length + divisor for length, divisor in zip(size, divisors, strict=True))
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 2, *larger)).shape[2:] == larger


@pytest.mark.parametrize("name", NAMES)
def test_full_size_has_the_papers_parameters(name: str) -> None:
    architecture = get_architecture(name)
    if name == "swin-unetr":
        network = create_network(name)
    else:
        with torch.device("meta"):
            network = create_network(name)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    counted = {
        "unet": 4.81,
        "basic-unet": 7.78,
        "unet-plus-plus": 9.12,
        "attention-unet": 7.94,
        "vnet": 45.60,
        "segresnet": 1.18,
        "unetr": 92.80,
        "swin-unetr": 62.19,
        "dynunet": 31.19,
        "mednext": 5.55,
        "plain-conv-unet": 31.20,
        "residual-encoder-unet": 102.35,
    }[name]
    assert millions == pytest.approx(counted, abs=0.01)
    if architecture.paper_parameters is not None and not architecture.note:
        assert millions == pytest.approx(architecture.paper_parameters, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_config_has_the_registered_axes(name: str) -> None:
    architecture = get_architecture(name)
    config: Any = architecture.make_config()
    assert config.spatial_dims == architecture.spatial_dims
    assert len(architecture.constraints(config).divisors) == architecture.spatial_dims


@pytest.mark.parametrize(
    ("name", "changes", "heads"),
    [
        ("unet-plus-plus", {"deep_supervision": True}, 4),
        ("unet-plus-plus", {}, 1),
        ("dynunet", {}, 2),
        ("dynunet", {"deep_supervision": 0}, 1),
        ("plain-conv-unet", {}, 2),
        ("plain-conv-unet", {"deep_supervision": False}, 1),
        ("residual-encoder-unet", {}, 2),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_heads_are_the_same_in_training_and_in_use(
    name: str, changes: dict[str, Any], heads: int, training: bool
) -> None:
    network, size = small(name, 2, **changes)
    assert isinstance(network, SegmentationNetwork)
    image = torch.randn(2, 2, *size)
    with torch.no_grad():
        outputs = network_heads(network.train(training), image)
        assert len(outputs) == len(network.head_weights) == heads
        assert torch.equal(network(image), outputs[network.prediction_head])
    assert sum(network.head_weights) == pytest.approx(1.0)
    assert outputs[network.prediction_head].shape[2:] == size


def test_dynunet_answers_as_monais_own() -> None:
    ours, size = small("dynunet", 2)
    theirs = DynUNet(
        2, 2, 3, (3, 3, 3), (1, 2, 2), (2, 2), (4, 8, 8), deep_supervision=True, deep_supr_num=1
    )
    config = DynUnetConfig(spatial_dims=2, **SMALL["dynunet"])
    ours.load_state_dict(baselines.convert_authors_state_dict(theirs.state_dict(), config))
    image = torch.randn(1, 2, *size)
    with torch.no_grad():
        expected = theirs.skip_layers(image)
        finest, coarser = network_heads(ours, image)
        assert torch.equal(finest, theirs.output_block(expected))
        assert torch.equal(coarser, theirs.heads[0])


@pytest.mark.parametrize(
    ("name", "theirs", "settings"),
    [
        ("basic-unet", BasicUNet, {"features": (4, 4, 8, 8, 8, 4)}),
        ("swin-unetr", SwinUNETR, {"feature_size": 12, "depths": (1, 1, 1, 1)}),
    ],
)
def test_what_is_written_for_one_graph_answers_as_monais_own(
    name: str, theirs: Any, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    ours = create_network(name, 2, 3, spatial_dims=2, **settings).eval()
    if name == "basic-unet":
        settings = settings | {"norm": ("instance", {"affine": True}), "dropout": 0.0}
    monais = theirs(spatial_dims=2, in_channels=2, out_channels=3, **settings).eval()
    monais.load_state_dict(ours.state_dict(), strict=True)
    size = (37, 50) if name == "basic-unet" else (64, 64)  # MONAI's U-Net pads odd edges
    image = torch.randn(1, 2, *size)
    with torch.no_grad():
        assert torch.equal(ours(image), monais(image))


def test_swin_unetr_refuses_a_window_that_does_not_divide() -> None:
    network, _size = small("swin-unetr", 2)
    with pytest.raises(ValueError, match="multiple of 32"):
        network(torch.randn(1, 2, 48, 64))


def test_coarser_heads_lie_on_coarser_grids() -> None:
    network, size = small("dynunet", 2)
    finest, coarser = network_heads(network, torch.randn(1, 2, *size))
    assert coarser.shape[2:] == tuple(length // 2 for length in size)
    assert finest.shape[2:] == size


def test_a_supervised_network_can_be_copied_after_a_step() -> None:
    network, size = small("dynunet", 2)
    sum(head.mean() for head in network_heads(network, torch.randn(1, 2, *size))).backward()
    copy.deepcopy(network)


@pytest.mark.parametrize("name", NAMES)
def test_weights_can_be_written_to_safetensors(name: str) -> None:
    network, _size = small(name, 2)
    assert save(network.state_dict())


@pytest.mark.parametrize("name", NNUNET)
def test_nnunets_own_names_are_taken(name: str) -> None:
    network, _size = small(name, 2)
    state = network.state_dict()
    doubles = {
        f"decoder.encoder.{key.removeprefix('encoder.')}": value
        for key, value in state.items()
        if key.startswith("encoder.")
    } | {
        key.replace("all_modules.0", "conv"): value
        for key, value in state.items()
        if "all_modules.0" in key
    }
    config = get_architecture(name).make_config(SMALL[name] | {"spatial_dims": 2})
    converted = baselines.convert_authors_state_dict(state | doubles, config)
    assert converted.keys() == state.keys()


def test_anisotropic_strides_give_anisotropic_windows() -> None:
    architecture = get_architecture("unet")
    config = architecture.make_config({"channels": (4, 8, 8), "strides": ((1, 2, 2), (2, 2, 2))})
    allowed = architecture.constraints(config)
    assert allowed.divisors == (2, 4, 4)
    assert allowed.minimum == (2, 8, 8)
    network = create_network("unet", 1, 2, **config.model_dump())
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 1, 6, 8, 12)).shape == (1, 2, 6, 8, 12)


def test_unetr_takes_its_own_size_only() -> None:
    architecture = get_architecture("unetr")
    allowed = architecture.constraints(architecture.make_config({"img_size": (32, 64, 64)}))
    assert allowed.fit((100, 20, 70)) == (32, 64, 64)
    assert allowed.allows((32, 64, 64))
    assert not allowed.allows((64, 128, 128))


def test_the_attention_gate_can_be_observed() -> None:
    network, size = small("attention-unet", 2)
    seen = []
    gates = [module for name, module in network.named_modules() if name.endswith(".psi")]
    for gate in gates:
        gate.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with torch.no_grad():
        network(torch.randn(1, 2, *size))
    assert len(seen) == len(gates) == 2
    assert all(gate.shape[1] == 1 and gate.min() >= 0 and gate.max() <= 1 for gate in seen)


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("unet", {"strides": (2, 2)}, "5 channels need 4 strides"),
        ("unet", {"kernel": 4}, "odd edge"),
        ("unet", {"kernel": (3, 3)}, "does not have 3 axes"),
        ("unet", {"spatial_dims": 1}, "spatial_dims"),
        ("unet", {"filters": 3}, "it takes: spatial_dims"),
        ("segresnet", {"init_filters": 12}, "multiple of 8"),
        ("segresnet", {"blocks_up": (1,)}, "one entry less"),
        ("unetr", {"img_size": (90, 96, 96)}, "multiple of 16"),
        ("unetr", {"spatial_dims": 2}, "does not have 2 axes"),
        ("unetr", {"num_heads": 7}, "not a multiple of num_heads"),
        ("swin-unetr", {"num_heads": (5, 6, 12, 24)}, "do not divide among 5 heads"),
        ("dynunet", {"kernels": (3, 3)}, "one entry for each stage"),
        ("dynunet", {"deep_supervision": 5}, "at most 4 coarser levels"),
        ("basic-unet", {"features": (4, 4, 4, 4, 1, 4)}, "at least 2 each"),
        ("unet-plus-plus", {"features": (4, 4, 1, 4, 4, 4)}, "at least 2 each"),
        ("dynunet", {"strides": (1, 2, 2, 2, 2, 5)}, "does not reach over a stride of 5"),
        ("dynunet", {"strides": (2, 2, 2, 2, 2, 2)}, "its stride is 1"),
        ("dynunet", {"strides": (1, 2, 2, 2, 2, 3), "residual": True}, "strides of 1 and 2"),
        ("attention-unet", {"channels": (1, 4), "strides": (2,)}, "2 or more"),
        ("mednext", {"blocks_up": (2, 2)}, "same number of stages"),
        ("plain-conv-unet", {"blocks": (1,)}, "6 stages need 6 blocks"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(
    name: str, config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        get_architecture(name).make_config(config)


def test_vnet_refuses_channels_it_cannot_repeat() -> None:
    with pytest.raises(ArchitectureError, match="not 3"):
        create_network("vnet", in_channels=3)


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: Any) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ArchitectureError, match="--no-deps dynamic-network-architectures"):
        nnunet_baselines.build_plain_conv_unet(1, 2, PlainConvUnetConfig())


def test_torchvision_is_not_loaded() -> None:
    code = (
        "import sys, napari_hybridseg.networks.baselines, napari_hybridseg.networks.transfuse;"
        "sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_halving_weights() -> None:
    assert nnunet_baselines.halving_weights(3) == pytest.approx((4 / 7, 2 / 7, 1 / 7))
    assert DynUnetConfig().deep_supervision == 3
