"""A small config of every architecture, so that all of them can be run in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from helpers import TINY_TRANSFUSE

from napari_hybridseg.checkpoint import Checkpoint, save_checkpoint
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network, get_architecture
from napari_hybridseg.networks.registry import NetworkConfig

Config = dict[str, Any]

_UTNET: Config = {
    "base_channels": 4,
    "conv_blocks": [0, 0, 0, 0, 0, 0, 0, 1],
    "attention_blocks": [0, 1, 1, 1, 1, 1, 0, 0],
    "heads": [1, 2, 2, 2, 2, 2, 1, 1],
    "fusion_dim": 16,
    "fusion_heads": 2,
    "map_size": [2, 2, 2],
    "scales": [[1, 2, 2], [1, 2, 2], [1, 1, 1], [1, 1, 1]],
}
_FLAT = {key: _UTNET[key] for key in _UTNET if key != "scales"} | {"map_size": [2, 2]}
_COTR: Config = {"widths": (4, 6, 12), "heads": 2, "layers": 1, "points": 2, "ffn": 8}
_BOTTLENECK = TINY_TRANSFUSE | {"cnn_widths": (16, 32, 64)}
PAPERS: dict[str, Config] = {
    "utnetv2-2d": _FLAT,
    "utnetv2-3d": _UTNET,
    "medformer-2d": _FLAT,
    "medformer-3d": _UTNET
    | {"encoder_channels": [8, 16, 16, 16], "conv_blocks": [0, 0, 0, 0, 0, 0, 1, 1]},
    "cotr": _COTR,
    "cotr-dagger": _COTR,
    "cotr-star": _COTR,
    "transfuse-s": TINY_TRANSFUSE,
    "transfuse-l": _BOTTLENECK,
    "transfuse-l384": _BOTTLENECK,
    "transfuse-lstar": TINY_TRANSFUSE | {"cnn_widths": (128, 128, 128)},
    "uxnet-3d": {
        "depths": (1, 1, 1, 1),
        "feature_sizes": (8, 4, 4, 4),
        "hidden_size": 6,
        "kernel": 3,
    },
}

_THREE: Config = {"channels": (4, 4, 8), "strides": (2, 2)}
_DEEP: Config = {"channels": (4, 8, 8), "kernels": (3, 3, 3), "strides": (1, 2, 2)}
BASELINES: dict[str, Config] = {
    "unet": _THREE | {"num_res_units": 1},
    "basic-unet": {"features": (4, 4, 4, 4, 4, 4)},
    "unet-plus-plus": {"features": (4, 4, 4, 4, 4, 4)},
    "attention-unet": _THREE,
    "vnet": {},
    "segresnet": {"blocks_down": (1, 1, 1), "blocks_up": (1, 1)},
    "unetr": {
        "img_size": (16, 16, 16),
        "feature_size": 4,
        "hidden_size": 12,
        "mlp_dim": 12,
        "num_heads": 2,
    },
    "swin-unetr": {"feature_size": 12, "window_size": 2},
    "dynunet": _DEEP | {"deep_supervision": 1},
    "mednext": {
        "init_filters": 4,
        "blocks_down": (1, 1),
        "blocks_bottleneck": 1,
        "blocks_up": (1, 1),
        "encoder_expansion": (2, 2),
        "decoder_expansion": (2, 2),
    },
    "plain-conv-unet": _DEEP | {"blocks": (1, 1, 1), "decoder_blocks": 1},
    "residual-encoder-unet": _DEEP | {"blocks": (1, 1, 1), "decoder_blocks": 1},
}
NNUNET = ("plain-conv-unet", "residual-encoder-unet")
EVERY = PAPERS | BASELINES | {"ensemble": {"members": 2, "settings": BASELINES["unet"]}}


def windows_for(name: str, config: NetworkConfig, wish: tuple[int, int, int]) -> WindowDefaults:
    """Give the windows nearest above a wish (Z, Y, X) that a network takes; slices along Z."""
    architecture = get_architecture(name)
    constraints = architecture.constraints(config)
    if architecture.dims_of(config) == 2:
        y, x = constraints.fit(wish[1:])
        return WindowDefaults(size=(1, y, x), slice_axis=0, overlap=0.25)
    z, y, x = constraints.fit(wish)
    return WindowDefaults(size=(z, y, x), overlap=0.25)


def random_checkpoint(
    folder: Path, name: str, labels: LabelScheme, wish: tuple[int, int, int] = (40, 56, 40)
) -> Checkpoint:
    """Save a small network of this architecture with random weights, named like it."""
    architecture = get_architecture(name)
    config = architecture.make_config(EVERY[name])
    card = ModelCard(
        name=name,
        architecture=name,
        config=config.model_dump(mode="json"),
        labels=labels,
        windows=windows_for(name, config, wish),
    )
    torch.manual_seed(0)
    network = create_network(name, 1, card.num_classes, **card.config)
    return save_checkpoint(folder / f"{name}.safetensors", network.state_dict(), card)
