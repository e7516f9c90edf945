"""The golden cases of UTNetV2 and MedFormer in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

_SETTINGS = {
    "base_chan": "base_channels",
    "conv_num": "conv_blocks",
    "trans_num": "attention_blocks",
    "num_heads": "heads",
    "fusion_depth": "fusion_depth",
    "fusion_dim": "fusion_dim",
    "fusion_heads": "fusion_heads",
    "expansion": "expansion",
    "proj_type": "projection",
    "kernel_size": "kernels",
    "scale": "scales",
    "aux_loss": "auxiliary_head",
}
_NORMS = {"in": "instance", "bn": "batch"}
_CLASS_OF = {"cbim_28e73c9": "UTNetV2"}
_PARTS = {
    "merge": "patch_merging.out",
    "map_projection": "patch_merging.map_proj",
    "map_generation": "map_gen.semantic_map",
    "map_generation.pooling": "map_gen.weights",
}
_ATTENTION = {
    "logits": "attn_logits_scaled",
    "token_to_map": "feat_map_attn",
    "map_to_token": "map_feat_attn",
}


def build(meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give our architecture's name and config for the metadata of a golden file or key list."""
    theirs = dict(meta["kwargs"])
    block = theirs.pop("conv_block", "BasicBlock")
    if block != "BasicBlock":
        raise ValueError(f"no published network has the convolution block {block!r}")
    map_size = theirs.pop("map_size")
    dims = meta.get("dim", len(map_size) if isinstance(map_size, list) else 2)
    config: dict[str, Any] = {
        "map_size": map_size if isinstance(map_size, list) else [map_size] * dims
    }
    config["activation"] = theirs.pop("act").lower()
    if "norm" in theirs:
        config["norm"] = _NORMS[theirs.pop("norm")]
    if "chan_num" in theirs:
        channels = theirs.pop("chan_num")
        config["encoder_channels"] = channels[:4]
        assert channels[4:7] == channels[2::-1]
    if len(meta["args"]) > 2:
        config["base_channels"] = meta["args"][2]
    config |= {_SETTINGS[key]: value for key, value in theirs.items()}
    is_medformer = meta.get("cls", _CLASS_OF.get(meta["upstream"], "MedFormer")) == "MedFormer"
    return f"{'medformer' if is_medformer else 'utnetv2'}-{dims}d", config


def intermediates(network: nn.Module) -> dict[str, Tensor]:
    """Watch a network: the dictionary fills, under the authors' names, when it next runs."""
    seen: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        for watch in _watches(name, seen):
            module.register_forward_hook(watch)
    return seen


def _watches(name: str, seen: dict[str, Tensor]) -> list[Callable[..., None]]:
    """Give the hooks that a submodule needs so that the authors' quantities are kept."""
    if name == "stem":
        return [_keep(seen, "inc.out")]
    if name == "map_fusion":
        return [_keep_each(seen, "map_fusion.out"), _keep_inputs(seen, "map_fusion.in")]
    if match := re.fullmatch(r"map_fusion\.layers\.(\d+)\.attention\.weights", name):
        return [_keep(seen, f"map_fusion.fusion.layers.{match[1]}.0.fn.attn")]
    match = re.fullmatch(r"(encoder|decoder)\.(\d)(?:\.(.+))?", name)
    if match is None:
        return []
    stage = f"{'down' if match[1] == 'encoder' else 'up'}{int(match[2]) + 1}"
    part = match[3]
    if part is None:
        return [_keep(seen, f"{stage}.out", 0), _keep(seen, f"{stage}.map", 1)]
    if part in _PARTS:
        return [_keep(seen, f"{stage}.{_PARTS[part]}")]
    if match := re.fullmatch(r"attention\.(\d+)(?:\.attention\.(\w+))?", part):
        block = f"{stage}.trans_blocks.blocks.{match[1]}"
        if match[2] is None:
            return [_keep(seen, f"{block}.feat_out", 0), _keep(seen, f"{block}.map_out", 1)]
        if match[2] in _ATTENTION:
            return [_keep(seen, f"{block}.attn.{_ATTENTION[match[2]]}")]
    return []


def _keep(seen: dict[str, Tensor], key: str, index: int | None = None) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen[key] = output if index is None else output[index]

    return hook


def _keep_each(seen: dict[str, Tensor], key: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen.update({f"{key}{index}": one for index, one in enumerate(output)})

    return hook


def _keep_inputs(seen: dict[str, Tensor], key: str) -> Callable[..., None]:
    def hook(_module: nn.Module, inputs: Any, _output: object) -> None:
        seen.update({f"{key}{index}": one for index, one in enumerate(inputs[0])})

    return hook
