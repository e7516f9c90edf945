"""What the tests of several rooms build their cases from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_hybridseg.checkpoint import Checkpoint, save_checkpoint
from napari_hybridseg.formats import StoredImage, write_image
from napari_hybridseg.geometry import Geometry, Reorientation
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.volume import Volume

EVERY_ORDER = [
    Reorientation(order, flips)  # type: ignore[arg-type]
    for order in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
TINY_UNET: dict[str, Any] = {"channels": [4, 8], "strides": [2], "num_res_units": 0}
TINY_TRANSFUSE: dict[str, Any] = {
    "cnn_layers": (1, 1, 1),
    "cnn_widths": (8, 16, 32),
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "grid": (2, 2),
}
ORGANS = LabelScheme.from_names({3: "liver", 1: "spleen", 300: "aorta"}, "test")


@st.composite
def geometries(draw: st.DrawFn, sizes: st.SearchStrategy[int] | None = None) -> Geometry:
    """Any grid: one of 48 axis orders, then straight, at 45 degrees, or turned anyhow."""
    angle = st.sampled_from([0.0, 45.0, -45.0]) | st.floats(-180, 180)
    turn = Rotation.from_euler("xyz", draw(st.tuples(angle, angle, angle)), degrees=True)
    straight = Geometry(
        size=draw(st.tuples(*[sizes or st.integers(1, 6)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.1, 10)] * 3)),
        origin=draw(st.tuples(*[st.floats(-500, 500)] * 3)),
        direction=tuple(turn.as_matrix().ravel()),
    )
    return straight.reoriented(draw(st.sampled_from(EVERY_ORDER)))


def grid(
    shape: Sequence[int] = (6, 8, 10),
    spacing: tuple[float, float, float] = (1.0, 1.5, 2.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """Give an LPS grid of an array shape (Z, Y, X), turned by angles in degrees."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    z, y, x = shape
    return Geometry((x, y, z), spacing, (-30.0, 12.5, 100.0), tuple(turn.ravel()))


def stored(array: np.ndarray, geometry: Geometry, order: Reorientation) -> StoredImage:
    """Store the voxels (C, Z, Y, X) of a grid in another order of its axes."""
    return StoredImage(
        np.ascontiguousarray(order.apply(array)), geometry.reoriented(order), modality="CT"
    )


def random_volume(
    shape: Sequence[int] = (9, 12, 10), channels: int = 1, seed: int = 0, **kwargs: Any
) -> Volume:
    """Give a volume of noise with something smooth in it, stored in LPS order."""
    random = np.random.default_rng(seed)
    array = random.normal(size=(channels, *shape)).astype(np.float32)
    array += np.linspace(-2, 2, shape[-1], dtype=np.float32)
    return Volume.from_stored(stored(array, grid(shape, **kwargs), EVERY_ORDER[0]), "noise")


def tiny_card(**changes: Any) -> ModelCard:
    """Give the card of a tiny MONAI U-Net with three organs."""
    values: dict[str, Any] = {
        "name": "tiny",
        "architecture": "unet",
        "config": TINY_UNET,
        "labels": ORGANS,
        "windows": WindowDefaults(size=(8, 8, 8)),
    }
    return ModelCard(**(values | changes))


def tiny_checkpoint(folder: Path, seed: int = 0, **changes: Any) -> Checkpoint:
    """Save a tiny network with random weights that see all organs."""
    card = tiny_card(**changes)
    torch.manual_seed(seed)
    network = create_network(card.architecture, card.in_channels, card.num_classes, **card.config)
    return save_checkpoint(folder / f"{card.name}.safetensors", network.state_dict(), card)


def photograph_checkpoint(folder: Path, name: str = "polyps") -> Path:
    """Save a small TransFuse for colour photographs, with random weights; give its file."""
    return tiny_checkpoint(
        folder,
        name=name,
        architecture="transfuse-s",
        config=TINY_TRANSFUSE,
        in_channels=3,
        labels=LabelScheme.from_names({1: "polyp"}),
        windows=WindowDefaults(size=(1, 32, 32), slice_axis=0),
    ).path


def write_dataset(
    folder: Path, train: int = 3, heldout: int = 1, shape: Sequence[int] = (10, 12, 12)
) -> Path:
    """Write a data set in which two bright boxes are the organs; give its description's path."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [_write_case(folder, number, shape) for number in range(train + heldout)]
    content = {
        "name": "boxes",
        "licence": "CC0-1.0",
        "attribution": "nobody",
        "modality": {"0": "MR"},
        "labels": {"0": "background", "2": "large box", "5": "small box"},
        "train": cases[:train],
        "heldout": cases[train:],
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(content))
    return path


def _write_case(folder: Path, number: int, shape: Sequence[int]) -> dict[str, str]:
    random = np.random.default_rng(number)
    labels = np.zeros(shape, dtype=np.uint8)
    z, y, x = random.integers(0, 3, 3)
    labels[z : z + 6, y : y + 6, x : x + 7] = 2
    labels[z + 6 : z + 9, y + 6 : y + 9, x + 6 : x + 9] = 5
    image = labels * 20.0 + random.normal(0, 5, shape)
    names = {"image": f"image{number}.nii.gz", "label": f"label{number}.nii.gz"}
    write_image(folder / names["image"], image.astype(np.float32), grid(shape))
    write_image(folder / names["label"], labels, grid(shape))
    return names
