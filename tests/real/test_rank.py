"""Which case next, with a shipped checkpoint on scans that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.corrections.assist.options import RankOptions
from napari_hybridseg.corrections.assist.ranking import rank, scans_in
from napari_hybridseg.corrections.assist.reports import Ranked
from napari_hybridseg.events import Result
from napari_hybridseg.formats import write_image
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import Volume, load_volume

POORER, AS_IT_IS = 3, 4


@pytest.fixture(scope="module")
def scans(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write held-out scans; some as a poorer scanner takes them, one of those nearly twice."""
    source = shared_data / "hippocampus_msd04"
    if not source.is_dir():
        pytest.skip("the hippocampus volumes are not beside this checkout")
    folder = tmp_path_factory.mktemp("scans")
    entries = json.loads((source / "dataset.json").read_text())["heldout"]
    for number, entry in enumerate(entries[: AS_IT_IS + POORER]):
        volume = load_volume(source / entry["image"])
        if number >= POORER:
            write(folder / f"as-it-is-{number}.nrrd", volume, volume.array[0])
            continue
        image = poorer(volume.array[0], number)
        write(folder / f"poorer-{number}.nrrd", volume, image)
        if number == 0:
            noise = np.random.default_rng(9).normal(0, 0.005, image.shape)
            write(folder / "poorer-0-again.nrrd", volume, image + noise)
    return folder


def poorer(image: np.ndarray, seed: int) -> np.ndarray:
    """Darken, shade, blur and add noise."""
    low, high = np.percentile(image, [1, 99])
    unit = np.clip((image - low) / (high - low), 0, 1) ** 1.6
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    shaded = unit * (1 + 0.35 * (0.6 * z - 0.8 * y + 0.5 * x * y))
    blurred = ndimage.gaussian_filter(shaded, (1.0, 1.0, 0.7))
    return np.asarray(blurred + np.random.default_rng(seed).normal(0, 0.04, image.shape))


def write(path: Path, volume: Volume, image: np.ndarray) -> None:
    write_image(path, np.ascontiguousarray(image, dtype=np.float32), volume.geometry)


def ranked(folder: Path, **changes: float) -> list[Ranked]:
    checkpoint = load_checkpoint(
        shipped_checkpoints_folder() / "hippocampus-utnetv2-3d.safetensors"
    )
    options = RankOptions(device="cpu", threads=1, **changes)
    *_, last = rank(scans_in(folder), checkpoint, options)
    assert isinstance(last, Result)
    assert last.value.failed == ()
    return list(last.value.scans)


def test_what_the_network_does_not_know_comes_first(scans: Path) -> None:
    names = [scan.path.stem for scan in ranked(scans, diversity=0)]
    assert all(name.startswith("poorer") for name in names[: POORER + 1]), names


def test_a_near_copy_is_not_asked_for_again(scans: Path) -> None:
    found = ranked(scans)
    names = [scan.path.stem for scan in found]
    # all of the other scanner's come first, though they look a little alike
    assert all(name.startswith("poorer") for name in names[:POORER]), names
    # the later one of the two teaches nothing new, though the network doubts it as much
    assert names[-1] in ("poorer-0", "poorer-0-again"), names
    assert found[-1].novelty < 0.05
    assert found[-1].benefit > min(scan.benefit for scan in found)
