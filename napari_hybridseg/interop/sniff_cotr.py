"""Recognising a file of the authors' CoTr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_hybridseg.interop.sniffed import Sniffed, count

_STEM = "backbone.conv1.weight"
_LAYERS = "encoder_Detrans.encoder.layers."
_NAMES: dict[tuple[int, ...], str] = {(2, 2, 2): "cotr-dagger", (1, 1, 1): "cotr-star"}
_LEVELS = 2
_PUBLISHED_HEADS = 6


def sniff_cotr(state: Mapping[str, Tensor]) -> Sniffed | None:
    """Tell what a CoTr is like from its weights; None if it is none.

    Weights show the product of heads and sampling points; where it allows the published six
    heads, those are taken.
    """
    if _STEM not in state or f"{_LAYERS}0.linear1.weight" not in state:
        return None
    blocks = tuple(count(state, f"backbone.layer{i}.") for i in (1, 2, 3))
    return Sniffed(
        architecture=_NAMES.get(blocks, "cotr"),
        config={
            "blocks": blocks,
            "widths": (
                len(state[_STEM]),
                len(state["backbone.layer1.0.conv1.weight"]),
                len(state["backbone.layer2.0.conv1.weight"]),
            ),
            "layers": count(state, _LAYERS),
            "ffn": len(state[f"{_LAYERS}0.linear1.weight"]),
            **_attention(state[f"{_LAYERS}0.self_attn.attention_weights.weight"]),
            **({"norm": "batch"} if "backbone.norm1.running_mean" in state else {}),
        },
        in_channels=state[_STEM].shape[1],
        num_classes=len(state["cls_conv.weight"]),
    )


def _attention(weights: Tensor) -> dict[str, Any]:
    points, rest = divmod(len(weights), _PUBLISHED_HEADS * _LEVELS)
    return {} if rest else {"heads": _PUBLISHED_HEADS, "points": points}
