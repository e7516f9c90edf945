"""Two scanners that never were: what a fine-tune is asked to get used to.

A *mild* shift makes an MR volume look like one from another protocol; a *strong* one is the same
with inverted contrast (dark becomes bright, as between T1 and T2 weighting). Both keep the grid,
so the manual labels stay true. In this order:

1. values are clipped to the volume's 1st ... 99th percentile and brought to 0 ... 1;
2. gamma 0.5: dark tissue becomes brighter;
3. strong only: ``1 - value``;
4. half the through-plane resolution: slices along Z are averaged in pairs and interpolated back;
5. in-plane blur, sigma 0.6 voxels;
6. a smooth multiplicative bias field, ``exp`` of a random cubic polynomial, standard deviation 0.2;
7. Gaussian noise, standard deviation 0.03.

The random parts depend on the case's name alone: the same case is shifted in the same way twice.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from napari_hybridseg.formats import read_image, write_image

Shift = Literal["mild", "strong"]

GAMMA = 0.5
BLUR_VOXELS = 0.6
BIAS = 0.2
NOISE = 0.03


def shifted(image: NDArray[np.floating], shift: Shift, name: str) -> NDArray[np.float32]:
    """Give a (Z, Y, X) volume as the other scanner would have made it, values about 0 ... 1000."""
    random = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    low, high = np.percentile(image, [1, 99])
    values = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    values = values**GAMMA
    if shift == "strong":
        values = 1 - values
    values = _half_resolution(values)
    values = gaussian_filter(values, (0, BLUR_VOXELS, BLUR_VOXELS))
    values = values * _bias_field(values.shape, random)
    values = values + random.normal(0, NOISE, values.shape)
    return (1000 * values).astype(np.float32)


def write_shifted(
    cases: Iterable[tuple[Path, Path]], folder: Path, shift: Shift, name: str
) -> Path:
    """Write shifted images and unchanged labels as a Decathlon-like data set; give its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    labels: dict[str, str] = {}
    for image, label in cases:
        stored, truth = read_image(image), read_image(label)
        labels = {"0": "background", "1": "anterior hippocampus", "2": "posterior hippocampus"}
        values = shifted(stored.array[0], shift, image.name)
        names = {"image": f"image_{image.name}", "label": f"label_{label.name}"}
        write_image(folder / names["image"], values, stored.geometry, overwrite=True)
        array = truth.array[0].astype(np.uint8)
        write_image(folder / names["label"], array, truth.geometry, overwrite=True)
        entries.append(names)
    path = folder / "dataset.json"
    content = {"name": name, "modality": {"0": "MR"}, "labels": labels, "train": entries}
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _half_resolution(values: NDArray[np.floating]) -> NDArray[np.floating]:
    depth = values.shape[0]
    even = values if depth % 2 == 0 else np.concatenate([values, values[-1:]])
    thick = even.reshape(-1, 2, *values.shape[1:]).mean(axis=1)
    back = zoom(thick, (2, 1, 1), order=1, mode="nearest", grid_mode=True)
    result: NDArray[np.floating] = back[:depth]
    return result


def _bias_field(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.floating]:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    total = np.zeros(shape)
    for powers in itertools.product(range(4), repeat=3):
        if 0 < sum(powers) <= 3:
            term = axes[0] ** powers[0] * axes[1] ** powers[1] * axes[2] ** powers[2]
            total += random.normal() * term
    field: NDArray[np.floating] = np.exp(BIAS * (total - total.mean()) / total.std())
    return field
