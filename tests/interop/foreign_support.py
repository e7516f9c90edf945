"""Other people's files, made from our own networks by the inverse of the key maps."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_hybridseg.interop import Imported
from napari_hybridseg.networks import (
    cotr,
    create_network,
    get_architecture,
    transfuse,
    utnetv2,
    uxnet,
)

TINY_UTNETV2 = {"base_channels": 8, "fusion_dim": 32}
TINY_MEDFORMER_3D = {"base_channels": 4, "encoder_channels": (8, 16, 32, 40), "fusion_dim": 16}
TINY_COTR = {"widths": (6, 12, 24), "layers": 2, "points": 2, "ffn": 10}
TINY_TRANSFUSE = {"cnn_widths": (4, 8, 12), "cnn_layers": (1, 2, 1), "embed_dim": 64, "depth": 2}
TINY_UXNET = {"feature_sizes": (4, 6, 8, 10), "depths": (1, 2, 1, 1), "hidden_size": 12}


def network(name: str, in_channels: int, classes: int, config: Mapping[str, Any]) -> nn.Module:
    """Build a network no two parameters of which are alike."""
    torch.manual_seed(0)
    built = create_network(name, in_channels, classes, **config).eval()
    with torch.no_grad():
        for key, value in built.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value.add_(0.05 * torch.randn_like(value))
    return built


def authors_state(built: nn.Module, name: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Give a network's weights under the names of the authors' code."""
    settings: Any = get_architecture(name).make_config(config)
    ours = built.state_dict()
    if name.startswith(("utnetv2", "medformer")):
        theirs = utnetv2.authors_key_map(settings)
        return {theirs[key]: value for key, value in ours.items()}
    module = {"cotr": cotr.authors_keys, "transfuse": transfuse.authors_names}
    names = module.get(name.split("-")[0], uxnet.authors_keys)(settings)
    return {key: ours[value] for key, value in names.items()}


def rebuilt(imported: Imported) -> nn.Module:
    """Build the network that an import describes."""
    card = imported.card
    built = create_network(card.architecture, card.in_channels, card.num_classes, **card.config)
    built.load_state_dict(imported.weights)
    return built.eval()


def torch_bytes(content: Any) -> bytes:
    """Give the bytes of a PyTorch file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
