"""Recognising a file of the authors' UTNetV2 or MedFormer (the CBIM repository)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor

from napari_hybridseg.interop.sniffed import Sniffed, count, kernel

_STEM = "inc.conv1.weight"
_DOWN = ("down1", "down2", "down3", "down4")
_STAGES = (*_DOWN, "up1", "up2", "up3", "up4")
_TOKENS = "down2.map_gen.semantic_proj.weight"
_FEED_FORWARD = "down2.trans_blocks.blocks.0.feedforward."


def sniff_utnetv2(state: Mapping[str, Tensor]) -> Sniffed | None:
    """Tell which of the family's four networks it is, and its sizes; None if it is none.

    UTNetV2 projects the map of one scale to the next, MedFormer makes a new one at each scale.
    Weights show how many tokens a map has, but not its shape.
    """
    if _STEM not in state or _TOKENS not in state:
        return None
    dims = len(kernel(state[_STEM]))
    projects = "down3.patch_merging.map_projection.weight" in state
    architecture = f"{'utnetv2' if projects else 'medformer'}-{dims}d"
    config: dict[str, Any] = {
        "base_channels": len(state[_STEM]),
        "encoder_channels": tuple(len(_reduction(state, stage)[-1]) for stage in _DOWN),
        "conv_blocks": tuple(count(state, f"{stage}.conv_blocks.") for stage in _STAGES),
        "attention_blocks": tuple(
            count(state, f"{stage}.trans_blocks.blocks.") for stage in _STAGES
        ),
        "scales": _scales(state, dims),
        "fusion_dim": len(state["map_fusion.in_proj.0.weight"]),
        "fusion_depth": count(state, "map_fusion.fusion.layers."),
        "norm": "batch" if any(key.endswith("running_mean") for key in state) else "instance",
        **_projection(state, dims),
    }
    if not projects:
        config["auxiliary_head"] = "aux_out.weight" in state
    return Sniffed(
        architecture=architecture,
        config=config,
        in_channels=state[_STEM].shape[1],
        num_classes=len(state["outc.weight"]),
    )


def _reduction(state: Mapping[str, Tensor], stage: str) -> list[Tensor]:
    """Give the weights that downsample into a stage: depthwise and pointwise, or one."""
    names = ("reduction.depthwise.weight", "reduction.pointwise.weight", "reduction.weight")
    keys = (f"{stage}.patch_merging.{name}" for name in names)
    return [state[key] for key in keys if key in state]


def _scales(state: Mapping[str, Tensor], dims: int) -> tuple[tuple[int, ...], ...]:
    """Tell which axes are halved from how many neighbours are merged; Z is left out first."""
    scales = []
    channels = len(state[_STEM])
    for stage in _DOWN:
        reduction = _reduction(state, stage)
        depthwise = len(reduction) > 1
        merged = reduction[0].shape[0 if depthwise else 1]
        halved = (merged // channels).bit_length() - 1
        scales.append((1,) * (dims - halved) + (2,) * halved)
        channels = len(reduction[-1])
    return tuple(scales)


def _projection(state: Mapping[str, Tensor], dims: int) -> dict[str, Any]:
    fused = f"{_FEED_FORWARD}conv3x3.conv.weight"
    if fused in state:
        wide, narrow = state[fused].shape[:2]
        return {"projection": "linear", "expansion": wide // narrow, **_kernels(state, dims)}
    narrow = len(_reduction(state, "down2")[-1])
    wide = len(state[f"{_FEED_FORWARD}depthwise.conv.weight"])
    return {"projection": "depthwise", "expansion": wide // narrow, **_kernels(state, dims)}


def _kernels(state: Mapping[str, Tensor], dims: int) -> dict[str, Any]:
    """Tell the kernels where every stage shows one, which linear projections may hide."""
    found = [kernel(state[_STEM])]
    for stage in _DOWN:
        shown = _reduction(state, stage)[0]
        if len(_reduction(state, stage)) == 1:
            shown = state.get(f"{stage}.conv_blocks.0.conv1.conv.weight", shown)
        found.append(kernel(shown))
    hidden = any(prod(size) == 1 for size in found[1:])
    return {} if hidden else {"kernels": tuple(found)}
