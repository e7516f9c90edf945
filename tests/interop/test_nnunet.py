from __future__ import annotations

import shutil

import pytest
import torch
from foreign_support import rebuilt, write_json
from nnunet_support import (
    FLAT,
    MEASURED,
    PLAIN,
    RESIDUAL,
    architecture,
    configuration,
    dataset_json,
    member,
    plans,
    resampling,
    write_model,
)

from napari_hybridseg.interop import ForeignFileError, import_checkpoint
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import (
    AsIs,
    ClipRescale,
    ClipStandardise,
    PercentileRescale,
    PerChannel,
    ZScore,
)

pytest.importorskip("dynamic_network_architectures", reason="nnU-Net's networks are not installed")

FULL = "3d_fullres"
OLD = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 12,
    "n_conv_per_stage_encoder": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "num_pool_per_axis": [1, 2, 2],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
}


@pytest.fixture(scope="module")
def plain():
    return member(PLAIN)


def model(folder, built, changes=None, dataset=None, **plan_changes):
    plan = configuration(PLAIN, **(changes or {}))
    return write_model(folder, {"0": built}, FULL, plans({FULL: plan}, **plan_changes), dataset)


def same_logits(imported, source, shape=(1, 1, 8, 16, 16)):
    image = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(imported)(image), source(image), atol=1e-5, rtol=0)


def test_plain_network(tmp_path, plain):
    imported = import_checkpoint(model(tmp_path, plain))
    card = imported.card
    same_logits(imported, plain)
    assert card.architecture == "plain-conv-unet"
    assert [organ.name for organ in card.labels.organs] == ["liver", "tumour"]
    assert card.preprocessing.spacing == (0.9, 1.2, 3.0)
    assert card.preprocessing.orientation == "as-stored"
    assert card.preprocessing.interpolation == "cubic"
    assert card.preprocessing.crop_to_nonzero
    assert card.preprocessing.intensity == ClipStandardise(low=-100, high=200, mean=40, std=30)
    assert card.windows.size == (8, 16, 16)
    assert card.windows.mirror_axes == (0, 1, 2)
    assert (card.windows.overlap, card.windows.importance) == (0.5, "gaussian")
    assert card.modality == "CT"


def test_residual_encoder(tmp_path):
    source = member(RESIDUAL, residual=True)
    plan = configuration(RESIDUAL, architecture=architecture(RESIDUAL, residual=True))
    imported = import_checkpoint(write_model(tmp_path, {"all": source}, FULL, plans({FULL: plan})))
    assert imported.card.architecture == "residual-encoder-unet"
    same_logits(imported, source)


def test_plan_of_older_nnunet(tmp_path):
    source = member({**PLAIN, "channels": (4, 8, 12)})
    plan = {**configuration(PLAIN), **OLD}
    del plan["architecture"]
    same_logits(
        import_checkpoint(write_model(tmp_path, {"0": source}, FULL, plans({FULL: plan}))), source
    )


def test_inherited_configuration(tmp_path, plain):
    low = {"inherits_from": FULL, "spacing": [4.0, 2.0, 2.0], "patch_size": [8, 16, 32]}
    every = plans({FULL: configuration(PLAIN), "3d_lowres": low})
    card = import_checkpoint(write_model(tmp_path, {"0": plain}, "3d_lowres", every)).card
    assert card.preprocessing.spacing == (2.0, 2.0, 4.0)
    assert card.windows.size == (8, 16, 32)


def test_flat_configuration_keeps_the_slices(tmp_path):
    source = member(FLAT)
    every = plans({"2d": configuration(FLAT)})
    imported = import_checkpoint(write_model(tmp_path, {"0": source}, "2d", every, mirrored=(0, 1)))
    same_logits(imported, source, (2, 1, 16, 16))
    card = imported.card
    assert card.preprocessing.spacing == (0.9, 1.2, None)
    assert card.windows.size == (1, 16, 16)
    assert card.windows.slice_axis == 0
    assert card.windows.mirror_axes == (1, 2)


def test_folds_are_averaged(tmp_path):
    members = {str(index): member(PLAIN, seed=index) for index in range(3)}
    folder = write_model(tmp_path, members, FULL, plans({FULL: configuration(PLAIN)}))
    imported = import_checkpoint(folder)
    assert imported.card.architecture == "ensemble"
    assert imported.card.config["members"] == 3
    assert "mean of folds 0, 1, 2" in imported.card.description
    same_logits(imported, lambda image: sum(one(image) for one in members.values()) / 3)
    same_logits(import_checkpoint(folder, folds=["1"]), members["1"])


def test_numbered_folds_come_before_all(tmp_path, plain):
    folder = write_model(
        tmp_path,
        {"2": plain, "all": member(PLAIN, seed=9)},
        FULL,
        plans({FULL: configuration(PLAIN)}),
    )
    same_logits(import_checkpoint(folder), plain)


def test_a_fold_that_is_named_twice_counts_once(tmp_path, plain):
    members = {"0": plain, "1": member(PLAIN, seed=1)}
    folder = write_model(tmp_path, members, FULL, plans({FULL: configuration(PLAIN)}))
    assert import_checkpoint(folder, folds=["1", "1"]).card.architecture == "plain-conv-unet"
    both = import_checkpoint(folder, architecture="plain-conv-unet").card
    assert (both.architecture, both.config["member"]) == ("ensemble", "plain-conv-unet")


@pytest.mark.parametrize("above", ["", "Dataset007/nnUNetTrainer__nnUNetPlans__3d_fullres"])
def test_plans_that_nnunet_copies_beside_its_validation_are_no_second_model(tmp_path, plain, above):
    folder = model(tmp_path / above, plain)
    copy = folder / "crossval_results_folds_0_1_2_3_4"
    copy.mkdir()
    for name in ("plans.json", "dataset.json"):
        shutil.copy(folder / name, copy)
    same_logits(import_checkpoint(tmp_path), plain)


def test_a_network_that_fits_in_no_memory_is_refused(tmp_path, plain):
    vast = architecture({**PLAIN, "channels": (4, 6, 10**6)})
    with pytest.raises(ForeignFileError, match="of another shape"):
        import_checkpoint(model(tmp_path / "vast", plain, {"architecture": vast}))
    vaster = architecture({**PLAIN, "channels": (4, 6, 10**10)})
    with pytest.raises(ForeignFileError, match="that cannot be built"):
        import_checkpoint(model(tmp_path / "vaster", plain, {"architecture": vaster}))


def test_zip_archive(tmp_path, plain):
    model(tmp_path / "Dataset007" / "nnUNetTrainer__nnUNetPlans__3d_fullres", plain)
    archive = shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "Dataset007")
    same_logits(import_checkpoint(archive), plain)


@pytest.mark.parametrize(
    ("scheme", "masked", "expected"),
    [
        ("ZScoreNormalization", True, ZScore(nonzero_only=True)),
        ("ZScoreNormalization", False, ZScore()),
        ("NoNormalization", False, AsIs()),
        ("RescaleTo01Normalization", False, PercentileRescale(low=0, high=100)),
        ("RGBTo01Normalization", False, ClipRescale(low=0, high=255)),
    ],
)
def test_normalisation(tmp_path, plain, scheme, masked, expected):
    changes = {"normalization_schemes": [scheme], "use_mask_for_norm": [masked]}
    assert (
        import_checkpoint(model(tmp_path, plain, changes)).card.preprocessing.intensity == expected
    )


def test_channels_of_two_kinds(tmp_path):
    from foreign_support import network

    source = network("plain-conv-unet", 2, 3, PLAIN)
    changes = {
        "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
        "use_mask_for_norm": [False, False],
    }
    card = import_checkpoint(
        model(tmp_path, source, changes, dataset_json(channel_names={"0": "CT", "1": "PET"}))
    ).card
    assert card.in_channels == 2
    assert card.modality == "CT PET"
    ct = ClipStandardise(low=-100, high=200, mean=40, std=30)
    assert card.preprocessing.intensity == PerChannel(channels=(ct, ZScore()))


def test_transposed_axes(tmp_path, plain):
    folder = model(tmp_path, plain, transpose_forward=[2, 0, 1])
    preprocessing = import_checkpoint(folder).card.preprocessing
    assert preprocessing.axes == (2, 0, 1)
    # 3 mm are along the file's x, 1.2 along z, 0.9 along y
    assert preprocessing.spacing == (3.0, 0.9, 1.2)


def test_reorienting_reader(tmp_path, plain):
    folder = model(tmp_path, plain, image_reader_writer="NibabelIOWithReorient")
    assert import_checkpoint(folder).card.preprocessing.orientation == "RAS"


def test_without_mirroring(tmp_path, plain):
    every = plans({FULL: configuration(PLAIN)})
    folder = write_model(tmp_path, {"0": plain}, FULL, every, mirrored=None)
    assert import_checkpoint(folder).card.windows.mirror_axes == ()


def test_ignore_label_is_no_organ(tmp_path, plain):
    labels = {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}
    card = import_checkpoint(model(tmp_path, plain, dataset=dataset_json(labels=labels))).card
    assert card.num_classes == 3


def test_labels_of_the_user(tmp_path, plain):
    scheme = LabelScheme.from_names({1: "a", 2: "b"})
    assert import_checkpoint(model(tmp_path, plain), labels=scheme).card.labels == scheme


REGIONS = dataset_json(labels={"background": 0, "whole": [1, 2], "core": [2]})
UNLIKE = architecture(PLAIN)
UNLIKE["arch_kwargs"]["norm_op_kwargs"] = {"eps": 1e-3, "affine": True}
FOREIGN = {**architecture(PLAIN), "network_class_name": "somebody.nets.UMamba"}


def with_argument(key, value):
    changed = architecture(PLAIN)
    changed["arch_kwargs"][key] = value
    return {"architecture": changed}


@pytest.mark.parametrize(
    ("changes", "dataset", "plan_changes", "reason"),
    [
        ({}, REGIONS, {}, r"regions, which overlap \(whole, core\)"),
        ({}, dataset_json(labels={"background": 0, "a": 2}), {}, "labels \\[0, 2\\]"),
        ({}, dataset_json(labels={"background": 0, "a": 1}), {}, "2 organs, and 1 are named"),
        ({"previous_stage": "3d_lowres"}, None, {}, "second stage of a cascade"),
        ({"architecture": FOREIGN}, None, {}, "is a UMamba; only PlainConvUNet and"),
        ({"architecture": UNLIKE}, None, {}, "norm_op_kwargs"),
        (with_argument("nonlin_first", True), None, {}, "nonlin_first True"),
        (with_argument("norm_op", "torch.nn.BatchNorm3d"), None, {}, "BatchNorm3d"),
        ({"preprocessor_name": "MyPreprocessor"}, None, {}, "prepares images with MyPreprocessor"),
        ({"resampling_fn_data": "resample_torch_fornnunet"}, None, {}, "resamples with"),
        ({"resampling_fn_data_kwargs": resampling(order=1)}, None, {}, "resamples with"),
        ({"normalization_schemes": ["MyNormalization"]}, None, {}, "with MyNormalization"),
        ({}, None, {"image_reader_writer": "NaturalImage2DIO"}, "NaturalImage2DIO"),
        ({}, None, {"transpose_forward": [0, 0, 1]}, "axes names each of"),
        ({"patch_size": None}, None, {}, "nnU-Net v2 does not write"),
    ],
)
def test_refused(tmp_path, plain, changes, dataset, plan_changes, reason):
    with pytest.raises(ForeignFileError, match=reason) as caught:
        import_checkpoint(model(tmp_path, plain, changes, dataset, **plan_changes))
    assert "\n" not in str(caught.value)


def test_incomplete_models_are_refused(tmp_path, plain):
    folder = model(tmp_path, plain)
    with pytest.raises(ForeignFileError, match=r"no checkpoint of fold 3 \(there is: 0\)"):
        import_checkpoint(folder, folds=["3"])
    (folder / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(ForeignFileError, match="there is: none"):
        import_checkpoint(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(ForeignFileError, match=r"has no dataset\.json"):
        import_checkpoint(folder)


def test_a_preset_is_refused(tmp_path, plain):
    with pytest.raises(ForeignFileError, match="leave the preset"):
        import_checkpoint(model(tmp_path, plain), preset="bcv")


def test_weights_of_another_plan_are_named(tmp_path):
    other = member({**PLAIN, "channels": (4, 6, 10)})
    with pytest.raises(ForeignFileError, match=r"of another shape: .* and \d+ more"):
        import_checkpoint(model(tmp_path, other))


def test_broken_json_is_refused(tmp_path, plain):
    folder = model(tmp_path, plain)
    (folder / "plans.json").write_text("{")
    with pytest.raises(ForeignFileError, match=r"plans\.json .* is no JSON"):
        import_checkpoint(folder)
    write_json(folder / "plans.json", [1])
    with pytest.raises(ForeignFileError, match="holds no table"):
        import_checkpoint(folder)


def test_measured_values_are_needed_for_ct(tmp_path, plain):
    incomplete = {"0": {k: v for k, v in MEASURED.items() if k != "std"}}
    folder = model(tmp_path, plain, foreground_intensity_properties_per_channel=incomplete)
    with pytest.raises(ForeignFileError, match="KeyError: 'std'"):
        import_checkpoint(folder)
