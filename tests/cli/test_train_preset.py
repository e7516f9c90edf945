from __future__ import annotations

import json

import pytest

from napari_hybridseg.cli.train import _read_options
from napari_hybridseg.presets import PresetError

NOTHING = {"architecture": None, "steps": None}


def test_preset_then_file_then_command_line(tmp_path):
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"steps": 7, "batch_size": 5}))
    options = _read_options(path, "flare2021", architecture=None, steps=9)
    assert options.architecture == "uxnet-3d"
    assert options.spacing == (1.0, 1.0, 1.2)
    assert (options.batch_size, options.steps) == (5, 9)


def test_architecture_chooses_among_presets_of_a_name():
    assert _read_options(None, "bcv", architecture="cotr-star").architecture == "cotr-star"
    with pytest.raises(PresetError, match="choose one of: medformer-3d-bcv, cotr-bcv"):
        _read_options(None, "bcv", **NOTHING)


def test_backbone_weights_are_an_option_like_any_other():
    options = _read_options(
        None, "isic2017", architecture=None, backbone_weights=["resnet34.pth", "hf://timm/deit"]
    )
    assert options.architecture == "transfuse-s"
    assert options.backbone_weights == ("resnet34.pth", "hf://timm/deit")
