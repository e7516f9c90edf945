"""Small networks of every family with random weights, and running a view on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers import EVERY_ORDER, ORGANS, grid, stored

from napari_hybridseg.checkpoint import Checkpoint, save_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.explain import ExplainOptions, Explanation, explain, find_view
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.registry import get_architecture
from napari_hybridseg.volume import Volume

UTNET: dict[str, Any] = {
    "base_channels": 4,
    "kernels": ((3, 3, 3),) * 5,
    "scales": ((2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 1, 1)),
    "conv_blocks": (1, 0, 0, 0, 0, 0, 1, 1),
    "attention_blocks": (0, 1, 1, 1, 1, 1, 0, 0),
    "heads": (1, 2, 2, 2, 2, 2, 1, 1),
    "map_size": (2, 2, 1),
    "expansion": 1,
    "fusion_dim": 8,
    "fusion_heads": 2,
}
COTR: dict[str, Any] = {
    "blocks": (1, 1, 1),
    "widths": (4, 6, 12),
    "heads": 2,
    "layers": 2,
    "points": 3,
    "ffn": 12,
}
TRANSFUSE: dict[str, Any] = {
    "cnn_layers": (1, 1, 1),
    "cnn_widths": (4, 8, 8),
    "embed_dim": 8,
    "depth": 2,
    "num_heads": 2,
    "grid": (2, 2),
}
UNET: dict[str, Any] = {"channels": [4, 8], "strides": [2], "num_res_units": 0}
ONE_WINDOW = (8, 16, 16)
TWO_D: WindowDefaults = WindowDefaults(size=(1, 32, 32), slice_axis=0)


@dataclass(frozen=True)
class Family:
    """A network, and windows that it can be given."""

    architecture: str
    config: dict[str, Any]
    windows: WindowDefaults


FAMILIES = {
    "medformer": Family("medformer-3d", UTNET, WindowDefaults(size=(8, 16, 16))),
    "utnetv2": Family("utnetv2-3d", UTNET, WindowDefaults(size=(8, 16, 16))),
    "cotr": Family("cotr-star", COTR, WindowDefaults(size=(8, 32, 32))),
    "cotr-legacy": Family(
        "cotr-star", COTR | {"axis_order": "legacy"}, WindowDefaults(size=(8, 32, 32))
    ),
    "transfuse": Family("transfuse-s", TRANSFUSE, TWO_D),
    "unet": Family("unet", UNET, WindowDefaults(size=(8, 8, 8), mirror_axes=(1, 2))),
}


def make(folder: Path, family: str, scheme: LabelScheme = ORGANS, **changes: Any) -> Checkpoint:
    """Save a network of a family with random weights that are large enough to matter."""
    chosen = FAMILIES[family]
    config = get_architecture(chosen.architecture).make_config(chosen.config)
    card = ModelCard(
        **{
            "name": f"small-{family}",
            "architecture": chosen.architecture,
            "config": config.model_dump(mode="json"),
            "labels": scheme,
            "windows": chosen.windows,
        }
        | changes
    )
    torch.manual_seed(0)
    network = create_network(card.architecture, 1, card.num_classes, **card.config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "offsets.weight" in name or name.endswith("attention.logits.weight"):
                parameter.normal_(std=0.3)
    return save_checkpoint(folder / f"{card.name}.safetensors", network.state_dict(), card)


def run(volume: Volume, checkpoint: Checkpoint, view: str, **options: Any) -> Explanation:
    """Explain on one CPU thread, and give the result."""
    choices = ExplainOptions(view=view, device="cpu", threads=1, **options)
    *_, last = explain(volume, checkpoint, choices)
    assert isinstance(last, Result)
    assert isinstance(last.value, Explanation)
    return last.value


def volume_of(array: np.ndarray, order: int = 0, **kwargs: Any) -> Volume:
    """Put (Z, Y, X) on a grid, stored in one of 48 axis orders."""
    geometry = grid(array.shape, **kwargs)
    return Volume.from_stored(stored(array[None], geometry, EVERY_ORDER[order]), "made-up")


def noise(shape: Sequence[int], seed: int = 0, **kwargs: Any) -> Volume:
    """Give a volume of noise with blobs in it."""
    random = np.random.default_rng(seed)
    array = random.normal(size=tuple(shape)).astype(np.float32)
    array[shape[0] // 3 :, shape[1] // 4 : shape[1] // 2, : shape[2] // 2] += 3
    return volume_of(array, **kwargs)


def voxel_mm(volume: Volume, zyx: Sequence[float]) -> tuple[float, float, float]:
    """Give the LPS millimetres of a canonical voxel."""
    x, y, z = volume.geometry.world(np.asarray(zyx, dtype=float))
    return float(x), float(y), float(z)


def direct(volume: Volume, checkpoint: Checkpoint, place: str, direction: str) -> np.ndarray:
    """Give a block's attention averaged over heads, by running the network by hand."""
    found = find_view(checkpoint.card, "token-map")
    where = next(p for p in found.places if p.name == place)
    image = torch.from_numpy(prepare(volume, checkpoint.card.preprocessing).array)[None]
    network = checkpoint.build_network()
    kept = {}
    module = network.get_submodule(f"{where.module}.attention.{direction.replace('-', '_')}")
    module.register_forward_hook(lambda _m, _i, output: kept.update(a=output))
    with torch.inference_mode():
        network(image)
    cells = [n // s for n, s in zip(image.shape[2:], where.stride, strict=True)]
    return kept["a"][0].mean(dim=0).reshape(*cells, -1).numpy()
