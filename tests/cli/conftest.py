"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import grid, tiny_checkpoint

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.formats import write_image
from napari_hybridseg.inference.devices import cpu_threads


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an oblique file in an unusual order."""
    base = grid((9, 10, 11), angles=(5, 10, -20))
    order = base.to_axis_codes("SRA")
    geometry = base.reoriented(order)
    path = tmp_path / "scan.nii.gz"
    array = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    write_image(path, array, geometry)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of installed checkpoints, in which a few are."""
    folder = tmp_path / "installed" / "checkpoints"
    folder.mkdir(parents=True)
    tiny_checkpoint(folder, name="liver-1.0")
    tiny_checkpoint(folder, name="spleen").path.rename(folder / "other-file.safetensors")
    (folder / "broken.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr("napari_hybridseg.resources._sample_data_folder", lambda: folder.parent)
    monkeypatch.setattr(
        "napari_hybridseg.resources.user_checkpoints_folder", lambda: tmp_path / "none"
    )
    return folder
