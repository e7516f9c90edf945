"""Parity of our 3D UX-Net with the authors' code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from parity_support import GoldenCase, compare, compare_exactly, recorded
from torch import Tensor

from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.uxnet import UxBlock, Uxnet, authors_block_keys

_BLOCKS = {"grouped": "dcs", "linear": "mlp", "ungrouped": "legacy"}
SINGLE_BLOCK = "ux_block"


def build(meta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give our architecture's name and config for a golden case's metadata.

    A single block's case gives the smallest network whose blocks are like it.
    """
    settings = meta["kwargs"] if "kwargs" in meta else meta["args"]
    is_old = "before 696f643" in meta.get("upstream", "")
    config: dict[str, Any] = {"kernel": settings.get("kernel", 13 if is_old else 7)}
    config["block"] = _BLOCKS[settings.get("mlp", "ungrouped" if is_old else "grouped")]
    if meta.get("cls") == SINGLE_BLOCK:
        width = settings["dim"]
        config |= {"feature_sizes": (width,) * 4, "depths": (1,) * 4, "hidden_size": width}
    else:
        # the authors' code never reads its layer_scale_init_value
        config |= {
            "feature_sizes": tuple(settings.get("feat_size", (48, 96, 192, 384))),
            "depths": tuple(settings.get("depths", (2, 2, 2, 2))),
            "hidden_size": settings.get("hidden_size", 768),
            "drop_path": settings.get("drop_path_rate", 0.0),
        }
    return "uxnet-3d", config


def heads_and_intermediates(
    network: Uxnet, image: Tensor
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Run the network; give its heads, and its intermediates by the golden cases' names."""
    backbone = network.backbone
    modules = {f"uxnet_3d.out{i}": norm for i, norm in enumerate(backbone.norms)}
    modules |= {
        f"uxnet_3d.downsample_layers.{i}": layer for i, layer in enumerate(backbone.downsamplings)
    }
    modules |= {f"encoder{i + 1}": block for i, block in enumerate(network.skip_blocks)}
    modules |= {f"decoder{5 - i}": block for i, block in enumerate(network.up_blocks)}
    modules |= {"encoder5": network.bottom_block, "decoder1": network.last_block}
    with recorded(modules) as seen:
        heads = network.forward_heads(image)
    return heads, seen


def check(npz_path: Path) -> dict[str, float]:
    """Compare every output and intermediate with the authors'; give the differences."""
    case = GoldenCase(npz_path)
    name, config = build(case.meta)
    classes = case.outputs[0].shape[1]
    network = create_network(name, case.image.shape[1], classes, **config).eval()
    assert isinstance(network, Uxnet)
    if case.meta["cls"] == SINGLE_BLOCK:
        return _check_block(network.backbone.stages[0][0], case)
    network.load_state_dict(convert_state_dict(case.state, name, config))
    with torch.no_grad():
        found = compare(case, *heads_and_intermediates(network, case.image))
        compare_exactly(case, network.double().forward_heads(case.image.double()))
    return found


def _check_block(block: UxBlock, case: GoldenCase) -> dict[str, float]:
    names = authors_block_keys(block)
    block.load_state_dict({names[key]: value for key, value in case.state.items()})
    with torch.no_grad():
        found = compare(case, [block(case.image)], {})
        compare_exactly(case, [block.double()(case.image.double())])
    return found
