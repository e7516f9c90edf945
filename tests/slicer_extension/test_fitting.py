"""The module takes the checkpoint that fits the volume, until somebody chooses one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import slicer
from panels import FakeInstallation, Open, OpenModule, bright, choose

CT = np.array([[-2.6, 0, 0, 0], [0, -2.6, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1.0]])


def torso(name: str = "torso_b") -> Any:
    """Put something like a CT of the trunk into the scene."""
    array = np.full((64, 112, 128), -1000, np.int16)
    array[:, 20:90, 20:110] = 40
    return phantoms.volume(name, CT, array)


def chosen(module: OpenModule) -> str:
    return Path(module.controller.parameters.checkpoint).stem


def test_a_volume_gets_the_checkpoint_that_fits(open_module: Open) -> None:
    module = open_module()
    scan, other = torso(), phantoms.volume("hippocampus_004", np.eye(4), brain())
    module.choose(module.ui.volumeSelector, scan)
    assert chosen(module) == "torso-utnetv2-3d"
    assert module.ui.checkpointBox.currentText == "torso-utnetv2-3d"
    assert "torso-utnetv2-3d was taken, for it fits the volume best." in module.controller.log.text
    module.choose(module.ui.volumeSelector, other)
    assert chosen(module).startswith("hippocampus-")


def test_a_scene_that_knows_its_volume_gets_it_when_the_engine_is_there(open_module: Open) -> None:
    scan = torso()
    installation = FakeInstallation(is_there=False)
    module = open_module(installation=installation)
    module.choose(module.ui.volumeSelector, scan)
    assert chosen(module) == ""
    module.controller.install()
    assert chosen(module) == "torso-utnetv2-3d"


def test_what_somebody_chose_stays(open_module: Open) -> None:
    module = open_module()
    key = next(key for key, text in module.state.checkpoints if text == "hippocampus-unet")
    choose(module.ui.checkpointBox, key)
    module.choose(module.ui.volumeSelector, torso())
    assert chosen(module) == "hippocampus-unet"


def test_what_was_run_stays_for_the_next_volume_and_with_the_scene(
    open_module: Open, tmp_path: Path
) -> None:
    module = open_module()
    module.choose(module.ui.volumeSelector, bright())
    before = chosen(module)
    module.segment()
    module.wait_until_done()
    module.choose(module.ui.volumeSelector, torso())
    assert chosen(module) == before
    bundle = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(bundle), None)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(bundle), False)
    module.choose(module.ui.volumeSelector, torso("torso_c"))
    assert chosen(module) == before


def test_a_volume_that_cannot_be_used_changes_nothing(open_module: Open) -> None:
    module = open_module()
    before = chosen(module)
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "torso")
    module.choose(module.ui.volumeSelector, empty)
    assert chosen(module) == before


def brain() -> Any:
    """Give something like a small MR."""
    return np.random.default_rng(0).integers(0, 300, (36, 50, 35)).astype(np.int16)
