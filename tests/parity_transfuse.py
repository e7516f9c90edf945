"""Rebuild a golden case of TransFuse and compare every number that it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.registry import create_network, get_architecture
from napari_hybridseg.networks.transfuse import convert_authors_state_dict
from napari_hybridseg.networks.vit import resize_positions

# Of an array's largest value: the golden cases' own float32 rounding reaches
# 1.3e-5 of it (in a gate).
TOLERANCE = 2e-5

_ARCHITECTURES = {
    "TransFuse_S": "transfuse-s",
    "TransFuse_L": "transfuse-l",
    "TransFuse_L_384": "transfuse-l384",
}
# a key list does not say the class; the full sizes are told apart by their names
_FULL_SIZES = {598: "transfuse-s", 730: "transfuse-l"}
_BLOCKS = {"BasicBlock": "basic", "Bottleneck": "bottleneck"}
_MODULES = {
    "transformer.tokens": "transformer",
    "up1.out": "token_up_8",
    "resnet.layer1": "cnn.layer1",
    "resnet.layer2": "cnn.layer2",
    "resnet.layer3": "cnn.layer3",
    "up_c_1_2.attn_block.psi": "merge_8.gate.attention",
    "up_c_1_2.out": "merge_8",
    "up_c_2_2.attn_block.psi": "merge_4.gate.attention",
    "up_c_2_2.out": "merge_4",
    "final_x.lowres": "head_first",
    "final_1.lowres": "head_tokens",
    "final_2.lowres": "head_last",
} | {
    f"{theirs}.{what}": f"{ours}{module}"
    for theirs, ours in {"up_c": "fuse_16", "up_c_1_1": "fuse_8", "up_c_2_1": "fuse_4"}.items()
    for what, module in {
        "bilinear": ".product",
        "spatial_attn": ".spatial_attention",
        "channel_attn": ".channel_attention",
        "out": "",
    }.items()
}
_LEGACY = "legacy_align_false.map_2"
_SOURCE_POSITIONS = "posembed_src_14x14"


def build(meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the architecture's name and the config that a case's metadata describes."""
    if "resnet" not in meta:
        return _full_size(meta)
    resnet, vit = meta["resnet"], meta["vit"]
    assert vit["qkv_bias"] is True
    assert vit["eps"] == 1e-6
    config = {
        "cnn": _BLOCKS[resnet["block"]],
        "cnn_layers": resnet["layers"],
        "cnn_widths": resnet["widths"],
        "embed_dim": vit["embed_dim"],
        "depth": vit["depth"],
        "num_heads": vit["num_heads"],
        "mlp_ratio": vit["mlp_ratio"],
        "grid": vit["grid"],
        "drop_rate": meta["drop_rate"],
    }
    return _ARCHITECTURES[meta["cls"].split("(")[0]], config


def _full_size(meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    grid = tuple(length // 16 for length in meta["input"][2:])
    name = _FULL_SIZES[len(meta["keys"])]
    if name == "transfuse-l" and grid == (24, 32):
        name = "transfuse-l384"
    return name, {"grid": grid, "drop_rate": meta["args"]["drop_rate"]}


def check(npz_path: Path) -> dict[str, float]:
    """Compare outputs and intermediates in float64.

    Returns
    -------
    dict
        Largest difference in each array of the case, as a part of the array's largest value
        where that is above 1.

    Raises
    ------
    AssertionError
        Where one differs by more than ``TOLERANCE``, or an array of the case is left unlooked at.
    """
    with np.load(npz_path) as case:
        arrays = {name: case[name] for name in case.files}
    meta = json.loads(arrays.pop("meta_json").tobytes())
    expected = {
        name: torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(("output/", "inter/"))
    }
    found = _outputs(meta, arrays)
    assert not expected.keys() - found.keys(), "not looked at"
    differences = {
        name: ((found[name] - value).abs().max() / value.abs().max().clamp(min=1.0)).item()
        for name, value in expected.items()
    }
    too_large = {name: size for name, size in differences.items() if not size <= TOLERANCE}
    assert not too_large, f"{npz_path.name}: {too_large}"
    return differences


def _outputs(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    image = torch.from_numpy(arrays["input"]).double()
    network = _network(meta, arrays)
    seen = _watch(network)
    with torch.no_grad():
        heads = network.forward_heads(image)
        found = {f"inter/{name}": value for name, value in seen.items()}
        tokens = found["inter/transformer.tokens"]
        assert tokens.ndim == 3
        found |= {f"output/{index}": head for index, head in enumerate(heads)}
        found[f"inter/{_LEGACY}"] = _network(meta, arrays, align_corners=False)(image)
    return found | _source_positions(meta, arrays)


def _source_positions(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Tensor]:
    # A golden file may hold the grid before interpolation; what it must become is a parameter.
    name = f"inter/{_SOURCE_POSITIONS}"
    if name not in arrays:
        return {}
    source = torch.from_numpy(arrays[name]).double()
    wanted = torch.from_numpy(arrays["state/transformer.pos_embed"]).double()
    resized = resize_positions(source[:, 1:], (14, 14), tuple(meta["vit"]["grid"]))
    assert torch.allclose(resized, wanted, atol=1e-6)
    return {name: source}


def _network(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **changes: Any
) -> SegmentationNetwork:
    name, config = build(meta)
    settings = config | changes
    channels = meta["input"][1]
    network = create_network(name, channels, meta["num_classes"], **settings)
    state = {
        key.removeprefix("state/"): torch.from_numpy(array)
        for key, array in arrays.items()
        if key.startswith("state/")
    }
    checked: Any = get_architecture(name).make_config(settings)
    network.load_state_dict(convert_authors_state_dict(state, checked))
    assert isinstance(network, SegmentationNetwork)
    return network.double().eval()


def _watch(network: nn.Module) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    for name, module in _MODULES.items():

        def keep(_module: nn.Module, _inputs: object, out: Tensor, name: str = name) -> None:
            seen[name] = out.detach().clone()

        network.get_submodule(module).register_forward_hook(keep)
    return seen
