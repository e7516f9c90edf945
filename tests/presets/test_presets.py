from __future__ import annotations

import subprocess
import sys

import pytest
from small_networks import PAPERS

from napari_hybridseg.model_card import PercentileStandardise
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.presets import (
    PRESETS,
    PresetError,
    find_preset,
    preset_train_options,
    presets_for,
)
from napari_hybridseg.training import TrainOptions

BY_NAME = [pytest.param(preset, id=preset.name) for preset in PRESETS]


def test_names_differ():
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("preset", BY_NAME)
def test_network_can_be_given_the_presets_window(preset):
    for name in (preset.architecture, *preset.also_for):
        architecture = get_architecture(name)
        config = architecture.make_config({**preset.config, **preset.hidden})
        flat = preset.windows.slice_axis
        size = tuple(n for axis, n in enumerate(preset.windows.size) if axis != flat)
        assert architecture.constraints(config).allows(size)


@pytest.mark.parametrize("name", PAPERS)
def test_every_network_of_the_papers_has_a_protocol_to_train_by(name):
    for preset in presets_for(name):
        assert TrainOptions(**preset_train_options(preset.name, name)).architecture == name
    assert presets_for(name)


@pytest.mark.parametrize("preset", BY_NAME)
def test_training_takes_the_preset(preset):
    options = TrainOptions(**preset_train_options(preset.name))
    assert options.architecture == preset.architecture
    assert options.intensity == preset.preprocessing.intensity
    assert options.augmentation.rotate == preset.protocol.variation.rotate


def test_a_rate_for_sgd_is_not_given_to_adamw():
    assert "learning_rate" not in preset_train_options("cotr-bcv")
    assert preset_train_options("flare2021")["learning_rate"] == 1e-4


def test_a_mistake_of_the_authors_is_not_trained_again():
    assert "axis_order" not in preset_train_options("cotr-bcv")["config"]


def test_short_names():
    assert find_preset("flare2021") is find_preset("uxnet-3d-flare2021")
    assert find_preset("acdc", "medformer-2d").name == "medformer-2d-acdc"
    assert find_preset("bcv", "cotr-star").name == "cotr-bcv"


def test_names_that_are_refused():
    with pytest.raises(PresetError, match="choose one of: utnetv2-2d-acdc, utnetv2-3d-acdc, medf"):
        find_preset("acdc")
    with pytest.raises(PresetError, match="no preset 'brats' of uxnet-3d; choose one of: uxnet-3d"):
        find_preset("brats", "uxnet-3d")
    with pytest.raises(PresetError, match="There is no preset of vnet"):
        find_preset("acdc", "vnet")
    assert presets_for("vnet") == ()


def test_full_sizes_are_the_authors(golden):
    import json

    import parity

    for file in (
        "medformer_3d_bcv",
        "medformer_3d_kits",
        "medformer_3d_lits",
        "medformer_3d_amos_ct",
    ):
        meta = json.loads((golden / "keys" / f"{file}.json").read_text())
        name, config = parity.build(meta)
        preset = find_preset(file.removeprefix("medformer_3d_").replace("_", "-"), name)
        architecture = get_architecture(name)
        assert architecture.make_config(preset.config) == architecture.make_config(config)


def test_amos_mr_is_the_network_of_amos_ct_on_other_windows():
    ct, mr = find_preset("amos-ct", "medformer-3d"), find_preset("amos-mr", "medformer-3d")
    assert mr.config == ct.config
    assert mr.windows.size == (48, 160, 224)
    assert mr.preprocessing.spacing == (1.1875, 1.1875, 2.0)
    assert mr.preprocessing.intensity == PercentileStandardise(low=2, high=98)
    assert mr.protocol.steps == 16000


def test_presets_need_no_torch():
    code = "import sys, napari_hybridseg.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
