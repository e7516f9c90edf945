"""Parity of our CoTr with the authors' code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from parity_support import GoldenCase, compare, compare_exactly, recorded
from torch import Tensor

from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.cotr import Cotr
from napari_hybridseg.networks.deformable import sampling_grid
from napari_hybridseg.networks.deformable_transformer import position_encoding

_NAMES = {(3, 3, 2): "cotr", (2, 2, 2): "cotr-dagger", (1, 1, 1): "cotr-star"}
_NORMS = {"IN": "instance", "BN": "batch", "GN": "group"}
_ACTIVATIONS = {"LeakyReLU": "leaky_relu", "ReLU": "relu"}


def build(meta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give our architecture's name and config for a golden case's metadata."""
    if "norm_cfg" in meta.get("args", {}):
        return _full_size(meta["args"])
    if meta.get("levels", 2) != 2:
        raise ValueError("only CoTr with two feature levels exists")
    blocks = tuple(meta["blocks"])
    stem, first, *token = meta["widths"]
    if {*token, meta["d_model"]} != {token[0]}:
        raise ValueError("the last stages and the transformer have one width")
    config = {
        "blocks": blocks,
        "widths": (stem, first, token[0]),
        "heads": meta["nhead"],
        "layers": meta["layers"],
        "points": meta["points"],
        "ffn": meta["ffn"],
        "norm": _NORMS[meta["norm"]],
        "activation": _ACTIVATIONS[meta["activation"]],
        "weight_standardisation": meta["weight_std"],
        "axis_order": "legacy",
    }
    return _NAMES.get(blocks, "cotr"), config


def _full_size(arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return _NAMES.get(tuple(arguments["blocks"]), "cotr"), {
        "blocks": tuple(arguments["blocks"]),
        "norm": _NORMS[arguments["norm_cfg"]],
        "activation": _ACTIVATIONS[arguments["activation_cfg"]],
        "weight_standardisation": arguments["weight_std"],
        "axis_order": "legacy",
    }


def heads_and_intermediates(
    network: Cotr, image: Tensor
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Run the network; give its heads, and its intermediates by the golden cases' names."""
    modules = {
        "backbone.out2": network.encoder.stages[1],
        "backbone.out3": network.encoder.stages[2],
    }
    cores: dict[str, Tensor] = {}
    handles = []
    for index, layer in enumerate(network.transformer.layers):
        modules[f"layer{index}.sampling_locations"] = layer.attention.sampling_locations
        modules[f"layer{index}.attention_weights"] = layer.attention.attention_weights
        modules[f"layer{index}.out"] = layer
        handles.append(
            layer.attention.output.register_forward_pre_hook(
                lambda _module, inputs, name=f"layer{index}.core_out": cores.__setitem__(
                    name, inputs[0]
                )
            )
        )
    with recorded(modules) as seen:
        heads = network.forward_heads(image)
    for handle in handles:
        handle.remove()
    seen |= cores
    for name in [name for name in seen if name.endswith("attention_weights")]:
        points = network.transformer.layers[0].attention.points
        seen[name] = seen[name].unflatten(-1, (-1, points))
    return heads, seen | _positions(network, seen["backbone.out2"], seen["backbone.out3"])


def _positions(network: Cotr, *maps: Tensor) -> dict[str, Tensor]:
    shapes = [tuple(m.shape[2:]) for m in maps]
    found = {"spatial_shapes": torch.tensor(shapes)}
    for level, (features, shape) in enumerate(zip(maps, shapes, strict=True)):
        encoding = position_encoding(shape, features.shape[1], features.device, features.dtype)
        found[f"pos_embed{level}"] = encoding.T.reshape(features[:1].shape)
    grid = sampling_grid(shapes, network.transformer.axis_order, maps[0].device, maps[0].dtype)
    found["reference_points"] = grid.reference[None, :, None].expand(-1, -1, len(shapes), -1)
    return found


def check(npz_path: Path, **settings: Any) -> dict[str, float]:
    """Compare every output and intermediate with the authors'; give the differences.

    ``settings`` change the config, e.g. ``sampler``.
    """
    case = GoldenCase(npz_path)
    name, config = build(case.meta)
    config |= settings
    classes = case.outputs[0].shape[1]
    network = create_network(name, case.image.shape[1], classes, **config).eval()
    network.load_state_dict(convert_state_dict(case.state, name, config))
    with torch.no_grad():
        heads, seen = heads_and_intermediates(network, case.image)
        # without deep supervision the authors' network gives its first head alone
        count = len(case.outputs)
        found = compare(case, heads[:count], seen)
        compare_exactly(case, network.double().forward_heads(case.image.double())[:count])
    return found
