from __future__ import annotations

import numpy as np
import pytest
import torch
from foreign_support import (
    TINY_COTR,
    TINY_MEDFORMER_3D,
    TINY_TRANSFUSE,
    TINY_UTNETV2,
    TINY_UXNET,
    authors_state,
    network,
    rebuilt,
)
from safetensors.torch import save_file

from napari_hybridseg.interop import ForeignFileError, import_checkpoint
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.presets import PresetError, find_preset

LEGACY = {"axis_order": "legacy"}
ACDC_3D = {**TINY_MEDFORMER_3D}
ISOTROPIC = {
    "kernels": ((3, 3, 3),) * 5,
    "scales": ((2, 2, 2),) * 4,
    "map_size": (4, 4, 4),
    "attention_blocks": (0, 2, 4, 6, 4, 2, 0, 0),
}
FLAT = (1, 1, 32, 32)
DEEP = (1, 1, 8, 32, 32)

# architecture, config, what the weights do not show, classes, preset, image
CASES = [
    ("utnetv2-2d", TINY_UTNETV2, {}, 4, "acdc", FLAT),
    ("utnetv2-2d", {**TINY_UTNETV2, "projection": "linear", "expansion": 2}, {}, 4, "acdc", FLAT),
    ("utnetv2-3d", {**TINY_UTNETV2, "norm": "batch"}, {}, 4, "acdc", DEEP),
    ("medformer-2d", TINY_UTNETV2, {}, 4, "acdc", FLAT),
    ("medformer-3d", ACDC_3D, {}, 4, "acdc", DEEP),
    ("medformer-3d", {**ACDC_3D, "auxiliary_head": False}, {}, 4, "acdc", DEEP),
    ("cotr", TINY_COTR, LEGACY, 14, "bcv", DEEP),
    ("cotr-star", {**TINY_COTR, "norm": "batch"}, LEGACY, 14, "bcv", DEEP),
    ("transfuse-s", TINY_TRANSFUSE, {"num_heads": 1, "align_corners": False}, 2, "isic2017", None),
    ("uxnet-3d", {**TINY_UXNET, "kernel": 7}, {}, 5, "flare2021", (1, 1, 16, 32, 32)),
    (
        "uxnet-3d",
        {**TINY_UXNET, "kernel": 3, "block": "mlp"},
        {},
        8,
        "feta2021",
        (1, 1, 16, 32, 32),
    ),
    (
        "uxnet-3d",
        {**TINY_UXNET, "kernel": 5, "block": "legacy"},
        {},
        16,
        "amos",
        (1, 1, 16, 32, 32),
    ),
]


def write(tmp_path, content):
    path = tmp_path / "best.pth"
    torch.save(content, path)
    return path


def uxnet_file(tmp_path, classes=5):
    source = network("uxnet-3d", 1, classes, TINY_UXNET)
    return write(tmp_path, authors_state(source, "uxnet-3d", TINY_UXNET))


@pytest.mark.parametrize(("name", "config", "hidden", "classes", "preset", "shape"), CASES)
def test_computes_what_the_source_computed(tmp_path, name, config, hidden, classes, preset, shape):
    settings = {**config, **hidden}
    channels = 3 if name.startswith("transfuse") else 1
    source = network(name, channels, classes, settings)
    path = write(tmp_path, authors_state(source, name, settings))
    imported = import_checkpoint(path, preset=preset)
    assert imported.card.architecture == name
    image = torch.randn(shape or (1, 3, 192, 256))
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(imported)(image), source(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["medformer-3d", "medformer-2d", "utnetv2-2d", "utnetv2-3d"])
def test_cbim_settings_that_do_not_show_are_the_presets(tmp_path, name):
    config = TINY_MEDFORMER_3D if name == "medformer-3d" else TINY_UTNETV2
    path = write(tmp_path, authors_state(network(name, 1, 4, config), name, config))
    card = import_checkpoint(path, preset="acdc").card
    assert card.config["activation"] == ("gelu" if name.startswith("utnetv2") else "relu")
    assert card.config["norm_epsilon"] == (1e-4 if name == "medformer-3d" else 1e-5)
    assert card.preprocessing == find_preset("acdc", name).preprocessing


def test_isotropic_scales_and_kernels_show(tmp_path):
    config = {**TINY_MEDFORMER_3D, **ISOTROPIC, "fusion_dim": 20, "heads": (1,) * 8}
    source = network("medformer-3d", 1, 3, {**config, "auxiliary_head": False})
    state = authors_state(source, "medformer-3d", {**config, "auxiliary_head": False})
    card = import_checkpoint(write(tmp_path, state), preset="lits").card
    assert card.config["scales"] == [[2, 2, 2]] * 4
    assert card.config["kernels"] == [[3, 3, 3]] * 5
    assert card.config["heads"] == [1] * 8


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapper_prefixes(tmp_path, wrapper):
    source = network("uxnet-3d", 1, 5, TINY_UXNET)
    state = authors_state(source, "uxnet-3d", TINY_UXNET)
    path = write(tmp_path, {wrapper + key: value for key, value in state.items()})
    assert import_checkpoint(path, preset="flare2021").card.architecture == "uxnet-3d"


@pytest.mark.parametrize(("averaged", "without"), [(True, None), (False, None), (False, {})])
def test_cbim_averaged_weights_come_first(tmp_path, averaged, without):
    state = authors_state(network("utnetv2-2d", 1, 4, TINY_UTNETV2), "utnetv2-2d", TINY_UTNETV2)
    zeros = {key: torch.zeros_like(value) for key, value in state.items()}
    content = {
        "epoch": 3,
        "model_state_dict": zeros if averaged else state,
        "ema_model_state_dict": state if averaged else without,
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    imported = import_checkpoint(write(tmp_path, content), preset="acdc")
    assert imported.weights["head.weight"].any()


def test_cotr_file_of_nnunet_v1(tmp_path):
    config = {**TINY_COTR, **LEGACY}
    source = network("cotr", 1, 14, config)
    state = authors_state(source, "cotr", config)
    content = {
        "epoch": 1000,
        "state_dict": {f"U_ResTran3D.{key}": value for key, value in state.items()},
        "optimizer_state_dict": {"state": {}, "param_groups": []},
        "lr_scheduler_state_dict": None,
        "plot_stuff": ([np.float64(0.5)], [1.0], [np.float32(2)], np.arange(3.0)),
        "best_stuff": (np.float64(0.1), -np.float64(0.2), None),
    }
    path = tmp_path / "model_final_checkpoint.model"
    torch.save(content, path)
    card = import_checkpoint(path, preset="bcv").card
    assert card.architecture == "cotr"
    assert card.config["axis_order"] == "legacy"
    assert card.config["heads"] == 6
    assert card.preprocessing.orientation == "as-stored"


def test_the_same_weights_as_safetensors(tmp_path):
    source = uxnet_file(tmp_path)
    path = tmp_path / "best.safetensors"
    save_file(torch.load(source, weights_only=True), path)
    left, right = (import_checkpoint(file, preset="flare2021") for file in (source, path))
    assert left.weights.keys() == right.weights.keys()
    assert all(torch.equal(left.weights[key], right.weights[key]) for key in left.weights)


def test_a_fold_of_a_single_file_is_refused(tmp_path):
    with pytest.raises(ForeignFileError, match="has no folds"):
        import_checkpoint(uxnet_file(tmp_path), preset="flare2021", folds=["0"])


def test_old_unused_convolution_of_uxnet_is_left_out(tmp_path):
    state = authors_state(network("uxnet-3d", 1, 5, TINY_UXNET), "uxnet-3d", TINY_UXNET)
    state["decoder1.layer.conv3.conv.weight"] = torch.zeros(4, 4, 1, 1, 1)
    assert import_checkpoint(write(tmp_path, state), preset="flare2021").card.num_classes == 5


def test_one_output_becomes_background_and_organ(tmp_path):
    config = {**TINY_TRANSFUSE, "num_heads": 1, "align_corners": False}
    source = network("transfuse-s", 3, 1, config)
    path = write(tmp_path, authors_state(source, "transfuse-s", config))
    imported = import_checkpoint(path, preset="isic2017")
    assert imported.card.config["align_corners"] is False
    image = torch.randn(1, 3, 192, 256)
    with torch.no_grad():
        both, one = rebuilt(imported)(image), source(image)
    torch.testing.assert_close(both.softmax(1)[:, 1:], one.sigmoid(), atol=1e-5, rtol=0)


def test_card_says_where_it_is_from(tmp_path):
    card = import_checkpoint(uxnet_file(tmp_path), preset="flare2021").card
    assert card.labels.organs[0].name == "liver"
    assert card.preprocessing.orientation == "RAS"
    assert card.preprocessing.axes == (2, 1, 0)
    assert card.provenance.protocol["preset"] == "uxnet-3d-flare2021"
    assert len(card.provenance.protocol["source_sha256"]["best.pth"]) == 64


def test_labels_of_the_user(tmp_path):
    scheme = LabelScheme.from_names({1: "left lung", 2: "right lung"})
    path = uxnet_file(tmp_path, classes=3)
    with pytest.raises(ForeignFileError, match=r"2 organs, and 4 are named; give .* --labels"):
        import_checkpoint(path, preset="flare2021")
    assert import_checkpoint(path, preset="flare2021", labels=scheme).card.labels == scheme


def test_config_of_the_user_comes_first(tmp_path):
    config = {**TINY_COTR, **LEGACY, "activation": "relu"}
    path = write(tmp_path, authors_state(network("cotr", 1, 14, config), "cotr", config))
    card = import_checkpoint(path, preset="bcv", config={"activation": "relu"}).card
    assert card.config["activation"] == "relu"


def test_a_map_of_another_size_needs_the_users_config(tmp_path):
    config = {**TINY_UTNETV2, "map_size": (2, 5)}
    state = authors_state(network("medformer-2d", 1, 4, config), "medformer-2d", config)
    path = write(tmp_path, state)
    with pytest.raises(ForeignFileError, match=r"scores\.weight \(10, .*instead of \(9, "):
        import_checkpoint(path, preset="acdc")
    card = import_checkpoint(path, preset="acdc", config={"map_size": (2, 5)}).card
    assert card.config["map_size"] == [2, 5]


def test_without_a_preset_says_which_fit(tmp_path):
    with pytest.raises(ForeignFileError, match=r"5 output classes.*--preset: flare2021\.$"):
        import_checkpoint(uxnet_file(tmp_path))


def test_another_networks_preset_is_refused(tmp_path):
    with pytest.raises(PresetError, match="no preset 'acdc' of uxnet-3d; choose one of: uxnet-3d-"):
        import_checkpoint(uxnet_file(tmp_path), preset="acdc")


def test_another_architecture_is_refused(tmp_path):
    with pytest.raises(ForeignFileError, match="is a file of uxnet-3d, not of cotr"):
        import_checkpoint(uxnet_file(tmp_path), preset="bcv", architecture="cotr")


def test_missing_weights_are_named(tmp_path):
    state = authors_state(network("uxnet-3d", 1, 5, TINY_UXNET), "uxnet-3d", TINY_UXNET)
    del state["decoder3.conv_block.conv1.conv.weight"]
    with pytest.raises(ForeignFileError, match=r"missing: up_blocks\.2\.conv_block\.conv1\.conv"):
        import_checkpoint(write(tmp_path, state), preset="flare2021")


def test_half_a_network_is_refused(tmp_path):
    state = authors_state(network("uxnet-3d", 1, 5, TINY_UXNET), "uxnet-3d", TINY_UXNET)
    del state["out.conv.conv.weight"]
    with pytest.raises(
        ForeignFileError, match=r"only a part of a network.*out\.conv\.conv\.weight"
    ):
        import_checkpoint(write(tmp_path, state), preset="flare2021")
