"""The real engine, with a shipped checkpoint, on real patients, through the real panel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from HybridSegLib.bench.label_maps import label_map_of
from panels import OpenModule
from real_engine import WORKER, hippocampus, load

from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import load_volume


@pytest.fixture
def case() -> tuple[Path, Path]:
    return hippocampus()


@pytest.fixture
def module(scene: Any, monkeypatch: pytest.MonkeyPatch, engine_python: str) -> Iterator[OpenModule]:
    opened = OpenModule(monkeypatch, (engine_python, *WORKER))
    yield opened
    opened.close()


def test_a_hippocampus_is_segmented_and_scored(module: OpenModule, case: tuple[Path, Path]) -> None:
    image, truth = case
    volume = load(image)
    reference = load(truth, "vtkMRMLLabelMapVolumeNode")
    module.choose(module.ui.volumeSelector, volume)
    checkpoint = shipped_checkpoints_folder() / "hippocampus-utnetv2-3d.safetensors"
    module.controller.choosing.checkpoint(checkpoint)
    module.choose(module.ui.referenceSelector, reference)
    module.segment()
    module.wait_until_done(1500)
    assert "against" in module.ui.statusLine.text, module.ui.statusLine.text
    score = module.state.score.report
    assert [organ.name for organ in score.organs] == [
        "anterior hippocampus",
        "posterior hippocampus",
    ]
    assert score.mean_dice > 0.8
    assert score.mean_hd95_mm < 3


def test_slicers_reader_and_ours_agree_where_voxels_lie(
    scene: Any, case: tuple[Path, Path]
) -> None:
    from HybridSegLib.bench.volumes import volume_of

    volume = load(case[0])
    ours, theirs = load_volume(case[0]), volume_of(volume)
    assert ours.geometry.same_grid(theirs.geometry)
    np.testing.assert_allclose(ours.array, theirs.array)


def test_the_result_is_that_of_the_command_line(
    module: OpenModule, case: tuple[Path, Path], engine_python: str, tmp_path: Path
) -> None:
    import subprocess

    from napari_hybridseg.volume import load_label_map

    volume = load(case[0])
    module.choose(module.ui.volumeSelector, volume)
    checkpoint = shipped_checkpoints_folder() / "hippocampus-utnetv2-3d.safetensors"
    module.controller.choosing.checkpoint(checkpoint)
    module.segment()
    module.wait_until_done(1500)
    found = label_map_of(module.result(), volume)
    out = tmp_path / "out.nii.gz"
    command = [engine_python, "-m", "napari_hybridseg", "segment", str(case[0]), "--out", str(out)]
    subprocess.run([*command, "--checkpoint", str(checkpoint)], check=True, capture_output=True)
    np.testing.assert_array_equal(found.array, load_label_map(out).array)
