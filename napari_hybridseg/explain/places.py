"""Where in a network a view can be taken, computed from its config alone.

A place names a submodule without parameters, or one whose output is shown; the numbers say what
can be chosen there. Nothing here builds a network or imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from pydantic import BaseModel, ConfigDict

from napari_hybridseg.older_python import zip

_LEVEL_STRIDES = ((4, 8, 8), (8, 16, 16))
_PATCH = 16
_DOWN, _STAGES = 4, ("down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4")


class Place(BaseModel):
    """A part of a network that can be looked at.

    Attributes
    ----------
    name : str
        What an option takes, e.g. ``"down3.1"``.
    title : str
        What a person reads, e.g. ``"Encoder, down3 (1/8), block 1"``.
    module : str
        The submodule's name in the network.
    stride : tuple of int
        Voxels of the network's grid to one cell of the place's, per spatial axis of the network:
        (Z, Y, X), or (Y, X) for a 2D network. Empty where there are no cells.
    heads, tokens, levels, points : int
        How many of each there are; 0 where the place has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    module: str
    stride: tuple[int, ...] = ()
    heads: int = 0
    tokens: int = 0
    levels: int = 0
    points: int = 0


def attention_blocks(config: Mapping[str, Any]) -> tuple[Place, ...]:
    """Give the bidirectional attention blocks of UTNetV2 or MedFormer, in running order."""
    tokens = prod(config["map_size"])
    places = []
    for stage, count in enumerate(config["attention_blocks"]):
        stride = _stage_stride(config["scales"], stage)
        inside = f"encoder.{stage}" if stage < _DOWN else f"decoder.{stage - _DOWN}"
        side = "Encoder" if stage < _DOWN else "Decoder"
        places += [
            Place(
                name=f"{_STAGES[stage]}.{block}",
                title=f"{side}, {_STAGES[stage]} ({scale_name(stride)}), block {block}",
                module=f"{inside}.attention.{block}",
                stride=stride,
                heads=config["heads"][stage],
                tokens=tokens,
            )
            for block in range(count)
        ]
    return tuple(places)


def map_poolings(config: Mapping[str, Any], is_medformer: bool) -> tuple[Place, ...]:
    """Give where semantic maps are first pooled from features."""
    places = []
    for stage in (1, 2, 3) if is_medformer else (1,):
        stride = _stage_stride(config["scales"], stage)
        places.append(
            Place(
                name=f"{_STAGES[stage]}.pooling",
                title=f"Encoder, {_STAGES[stage]} ({scale_name(stride)}), pooling of the map",
                module=f"encoder.{stage}.map_generation.pooling",
                stride=stride,
                heads=1,
                tokens=prod(config["map_size"]),
            )
        )
    return tuple(places)


def fusion_layers(config: Mapping[str, Any]) -> tuple[Place, ...]:
    """Give the layers of the transformer that mixes the maps of three scales."""
    return tuple(
        Place(
            name=f"fusion.{layer}",
            title=f"Map fusion, layer {layer}",
            module=f"map_fusion.layers.{layer}.attention.weights",
            heads=config["fusion_heads"],
            tokens=prod(config["map_size"]),
            levels=3,
        )
        for layer in range(config["fusion_depth"])
    )


def fusion_scales(config: Mapping[str, Any]) -> tuple[str, str, str]:
    """Name the three scales whose maps are fused, finest first."""
    fine, middle, coarse = (scale_name(_stage_stride(config["scales"], s)) for s in (1, 2, 3))
    names = (fine, middle, coarse)
    return names if len(set(names)) == 3 else ("down2", "down3", "down4")


def deformable_layers(config: Mapping[str, Any]) -> tuple[Place, ...]:
    """Give the layers of CoTr's deformable transformer."""
    return tuple(
        Place(
            name=f"layer{layer}",
            title=f"Deformable transformer, layer {layer}",
            module=f"transformer.layers.{layer}.attention",
            stride=_LEVEL_STRIDES[0],
            heads=config["heads"],
            levels=len(_LEVEL_STRIDES),
            points=config["points"],
        )
        for layer in range(config["layers"])
    )


def deformable_strides() -> tuple[tuple[int, int, int], ...]:
    """Give the strides (Z, Y, X) of the maps that CoTr's transformer reads, finest first."""
    return _LEVEL_STRIDES


def fusions() -> tuple[Place, ...]:
    """Give the BiFusion modules of TransFuse, finest first."""
    return tuple(
        Place(
            name=f"fuse_{scale}",
            title=f"BiFusion at 1/{scale}",
            module=f"fuse_{scale}",
            stride=(scale, scale),
        )
        for scale in (4, 8, 16)
    )


def gates() -> tuple[Place, ...]:
    """Give the attention gates of TransFuse, finest first."""
    return tuple(
        Place(
            name=f"merge_{scale}",
            title=f"Attention gate at 1/{scale}",
            module=f"merge_{scale}.gate.attention",
            stride=(scale, scale),
        )
        for scale in (4, 8)
    )


def unet_gates(config: Mapping[str, Any]) -> tuple[Place, ...]:
    """Give the attention gates of MONAI's attention U-Net, finest first."""
    places = []
    for depth in range(len(config["strides"])):
        stride = (prod(config["strides"][:depth]),) * config["spatial_dims"]
        places.append(
            Place(
                name=f"gate{depth}",
                title=f"Attention gate at {scale_name(stride)}",
                module=f"model.1{'.submodule.1' * depth}.attention.psi",
                stride=stride,
            )
        )
    return tuple(places)


def transformer_blocks(config: Mapping[str, Any]) -> tuple[Place, ...]:
    """Give the blocks of TransFuse's vision transformer."""
    return tuple(
        Place(
            name=f"block{block}",
            title=f"Vision transformer, block {block}",
            module=f"transformer.blocks.{block}.attn.attention",
            stride=(_PATCH, _PATCH),
            heads=config["num_heads"],
        )
        for block in range(config["depth"])
    )


def scale_name(stride: tuple[int, ...]) -> str:
    """Name a scale, e.g. ``1/8``, or ``1/(1, 4, 4)`` where the axes differ."""
    return f"1/{stride[0]}" if len(set(stride)) == 1 else f"1/({', '.join(map(str, stride))})"


def _stage_stride(scales: Any, stage: int) -> tuple[int, ...]:
    """Give the stride of a stage's grid; up1 works on that of down3, up2 on that of down2."""
    count = stage + 1 if stage < _DOWN else 2 * _DOWN - 1 - stage
    return tuple(prod(axis) for axis in zip(*scales[:count], strict=True))
