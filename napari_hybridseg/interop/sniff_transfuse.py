"""Recognising a file of the authors' TransFuse."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from napari_hybridseg.interop.sniffed import Sniffed, count

_POSITIONS = "transformer.pos_embed"
_STEM = "resnet.conv1.weight"
_HEAD_WIDTH = 64
_STAGES = (1, 2, 3)

# patches of the image sizes that the authors use, 192x256 and 384x512
_KNOWN_GRIDS = {192: (12, 16), 768: (24, 32)}


def sniff_transfuse(state: Mapping[str, Tensor]) -> Sniffed | None:
    """Tell what a TransFuse is like from its weights; None if it is none.

    The number of heads does not show; all public vision transformers have heads of width 64.
    """
    if _STEM not in state or _POSITIONS not in state:
        return None
    bottleneck = "resnet.layer1.0.conv3.weight" in state
    last = "conv3" if bottleneck else "conv2"
    tokens = state[_POSITIONS].shape[2]
    patches = state[_POSITIONS].shape[1]
    hidden = len(state["transformer.blocks.0.mlp.fc1.weight"])
    return Sniffed(
        architecture=_name(bottleneck, patches),
        config={
            "cnn": "bottleneck" if bottleneck else "basic",
            "cnn_layers": tuple(count(state, f"resnet.layer{i}.") for i in _STAGES),
            "cnn_widths": tuple(len(state[f"resnet.layer{i}.0.{last}.weight"]) for i in _STAGES),
            "embed_dim": tokens,
            "depth": count(state, "transformer.blocks."),
            "num_heads": max(tokens // _HEAD_WIDTH, 1),
            "mlp_ratio": hidden // tokens,
            **_grid(patches),
        },
        in_channels=state[_STEM].shape[1],
        num_classes=len(state["final_2.1.conv.weight"]),
    )


def _name(bottleneck: bool, patches: int) -> str:
    if not bottleneck:
        return "transfuse-s"
    return "transfuse-l384" if _KNOWN_GRIDS.get(patches) == (24, 32) else "transfuse-l"


def _grid(patches: int) -> dict[str, Any]:
    if patches in _KNOWN_GRIDS:
        return {"grid": _KNOWN_GRIDS[patches]}
    side = isqrt(patches)
    return {"grid": (side, side)} if side * side == patches else {}
