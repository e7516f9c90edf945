from __future__ import annotations

import copy
import inspect
import shutil

import pytest
import torch
from foreign_support import rebuilt, torch_bytes, write_json
from monai.networks import nets

from napari_hybridseg.interop import ForeignFileError, import_checkpoint
from napari_hybridseg.interop.monai_networks import _CLASSES, _plain, network_of_definition
from napari_hybridseg.model_card import ClipRescale, PercentileRescale, ZScore
from napari_hybridseg.networks import create_network

UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8, 16],
    "strides": [2, 2],
    "num_res_units": 2,
    "norm": "batch",
}
TRANSFORMS = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -57,
        "a_max": 164,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
    {"_target_": "EnsureTyped", "keys": "image"},
]
CONFIG = {
    "pixdim": [1.5, 1.5, 2.0],
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": UNET,
    "network": "$@network_def.to(@device)",
    "preprocessing": {"_target_": "Compose", "transforms": TRANSFORMS},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 48, 16], "overlap": 0.5},
    "postprocessing": {"transforms": [{"_target_": "Activationsd", "softmax": True}]},
}
METADATA = {
    "name": "Spleen CT segmentation",
    "version": "0.5.1",
    "license": "Apache-2.0",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen", "2": "other"}}},
    },
}
NETWORKS = {
    "unet": UNET,
    "basic-unet": {"_target_": "monai.networks.nets.BasicUNet", "features": [4, 4, 8, 8, 8, 4]},
    "unet-plus-plus": {"_target_": "BasicUNetPlusPlus", "features": [4, 4, 8, 8, 8, 4]},
    "attention-unet": {
        "_target_": "AttentionUnet",
        "spatial_dims": 3,
        "channels": [4, 8],
        "strides": [2],
    },
    "vnet": {"_target_": "VNet"},
    "segresnet": {"_target_": "SegResNet", "blocks_down": [1, 2], "blocks_up": [1]},
    "unetr": {
        "_target_": "UNETR",
        "img_size": [32, 32, 32],
        "hidden_size": 24,
        "mlp_dim": 32,
        "num_heads": 2,
        "feature_size": 4,
        "norm_name": "instance",
    },
    "swin-unetr": {
        "_target_": "SwinUNETR",
        "feature_size": 12,
        "use_checkpoint": True,
        "depths": [1] * 4,
    },
    "dynunet": {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, [1, 2, 2]],
        "upsample_kernel_size": [2, [1, 2, 2]],
        "norm_name": ["INSTANCE", {"affine": True}],
        "filters": [4, 6, 8],
        "deep_supervision": True,
    },
    "mednext": {
        "_target_": "monai.networks.nets.MedNeXt",
        "init_filters": 4,
        "kernel_size": 3,
        "blocks_down": [1, 2],
        "blocks_up": [2, 1],
        "encoder_expansion_ratio": [2, 3],
        "bottleneck_expansion_ratio": 3,
    },
}


def monais(definition):
    """Build MONAI's own network."""
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    if "norm_name" in arguments and isinstance(arguments["norm_name"], list):
        arguments["norm_name"] = tuple(arguments["norm_name"])
    torch.manual_seed(0)
    return getattr(nets, definition["_target_"].rsplit(".", 1)[-1])(**arguments).eval()


def bundle(folder, config=None, metadata=None, built=None):
    write_json(folder / "configs" / "inference.json", config or CONFIG)
    write_json(folder / "configs" / "metadata.json", metadata or METADATA)
    built = built or monais(UNET)
    path = folder / "models" / "model.pt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(torch_bytes(built.state_dict()))
    return folder


def changed(**changes):
    return {**copy.deepcopy(CONFIG), **changes}


def with_transform(transform):
    kept = [*TRANSFORMS[:4], transform]
    return changed(preprocessing={"transforms": kept})


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_monais_class_computes(tmp_path, name):
    definition = {"in_channels": 1, "out_channels": 3, **NETWORKS[name]}
    source = monais(definition)
    imported = import_checkpoint(bundle(tmp_path, changed(network_def=definition), built=source))
    assert imported.card.architecture == name
    # Swin UNETR halves five times and needs two voxels at the bottom
    image = torch.randn(1, 1, 32, 32, 64 if name == "swin-unetr" else 32)
    with torch.no_grad():
        expected = source(image)
        expected = expected[-1] if isinstance(expected, list) else expected
        torch.testing.assert_close(rebuilt(imported)(image), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("target", ["MedNeXtS", "MedNextBase", "MedNeXtM", "MedNextLarge"])
def test_sizes_of_mednext_are_monais(target):
    with torch.device("meta"):
        theirs = getattr(nets, target)(spatial_dims=3, in_channels=2, out_channels=3)
        name, settings, inputs, classes = network_of_definition(
            {"_target_": target, "in_channels": 2, "out_channels": 3}
        )
        ours = create_network(name, inputs, classes, **settings)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


@pytest.mark.parametrize("target", ["Unet", "unet", "monai.networks.nets.unet.Unet"])
def test_other_spellings_of_a_class(target):
    assert network_of_definition({**UNET, "_target_": target})[0] == "unet"


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        (["LEAKYRELU", {"inplace": True, "negative_slope": 0.01}], True),
        (["LEAKYRELU", {"negative_slope": 0.2}], False),
        (["LEAKYRELU", {"beta": 3}], False),
    ],
)
def test_options_that_weights_do_not_show_are_ours_or_refused(options, taken):
    definition = {**UNET, "act": options}
    if taken:
        assert network_of_definition(definition)[1]["act"] == "leakyrelu"
        return
    with pytest.raises(ForeignFileError, match="UNet has act"):
        network_of_definition(definition)


def test_a_norm_of_another_epsilon_is_refused():
    with pytest.raises(ForeignFileError, match="UNet has norm"):
        network_of_definition({**UNET, "norm": ["BATCH", {"eps": 1e-3, "momentum": 0.1}]})


@pytest.mark.parametrize("activation", ["relu", ["leakyrelu", {"negative_slope": 0.3}]])
def test_dynunet_of_another_activation_is_refused(activation):
    definition = {**NETWORKS["dynunet"], "in_channels": 1, "out_channels": 3}
    with pytest.raises(ForeignFileError, match="DynUNet has act_name"):
        network_of_definition({**definition, "act_name": activation})


@pytest.mark.parametrize("name", _CLASSES)
def test_what_a_definition_leaves_out_is_monais_default(name):
    known = _CLASSES[name]
    parameters = inspect.signature(getattr(nets, name)).parameters
    ours = {key: default for key, (_, default) in known.settings.items()} | dict(known.fixed)
    for key, default in ours.items():
        theirs = parameters[key].default if key in parameters else default
        assert theirs is inspect.Parameter.empty or _plain(theirs) == _plain(default), key


def test_card(tmp_path):
    card = import_checkpoint(bundle(tmp_path)).card
    assert card.name == "Spleen-CT-segmentation"
    assert [organ.name for organ in card.labels.organs] == ["spleen", "other"]
    assert (card.modality, card.licence) == ("CT", "Apache-2.0")
    assert card.preprocessing.orientation == "RAS"
    assert card.preprocessing.axes == (2, 1, 0)
    assert card.preprocessing.spacing == (1.5, 1.5, 2.0)
    assert card.preprocessing.intensity == ClipRescale(low=-57, high=164)
    assert card.windows.size == (32, 48, 16)
    assert card.windows.importance == "constant"


def test_zip_archive(tmp_path):
    bundle(tmp_path / "spleen")
    archive = shutil.make_archive(str(tmp_path / "spleen"), "zip", tmp_path, "spleen")
    assert import_checkpoint(archive).card.architecture == "unet"


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"_target_": "NormalizeIntensityd", "nonzero": True}, ZScore(nonzero_only=True)),
        ({"_target_": "ScaleIntensityd"}, PercentileRescale(low=0, high=100)),
        (
            {
                "_target_": "ScaleIntensityRangePercentilesd",
                "lower": 2,
                "upper": 98,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            PercentileRescale(low=2, high=98),
        ),
    ],
)
def test_intensity(tmp_path, transform, expected):
    card = import_checkpoint(bundle(tmp_path, with_transform(transform))).card
    assert card.preprocessing.intensity == expected


def test_what_is_left_out_is_said(tmp_path):
    config = with_transform({"_target_": "CropForegroundd", "source_key": "image"})
    assert "CropForeground" in import_checkpoint(bundle(tmp_path, config)).card.limitations


def test_postprocessing_that_is_not_done_is_said(tmp_path):
    steps = [
        {"_target_": "Activationsd", "softmax": True},
        {"_target_": "Invertd"},
        {"_target_": "AsDiscreted", "argmax": True},
        {"_target_": "KeepLargestConnectedComponentd", "applied_labels": [1]},
        {"_target_": "SaveImaged"},
    ]
    card = import_checkpoint(bundle(tmp_path, changed(postprocessing={"transforms": steps}))).card
    assert card.limitations.endswith("of its postprocessing: KeepLargestConnectedComponent.")


def test_references_are_followed(tmp_path):
    config = changed(network_def={**UNET, "out_channels": "@sizes::1"}, sizes=[1, "@classes"])
    assert import_checkpoint(bundle(tmp_path, {**config, "classes": 3})).card.num_classes == 3


PROGRAM = "$__import__('os').system('touch owned')"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (changed(network_def={**UNET, "in_channels": PROGRAM}), "has a program in it"),
        (changed(network_def={**UNET, "channels": "@nothing"}), "refers to 'nothing'"),
        (changed(network_def={**UNET, "channels": "@loop"}, loop="@loop"), "refers to itself"),
        (changed(network_def={**UNET, "_target_": "HoVerNet"}), "network is a HoVerNet"),
        (changed(network_def={**UNET, "bias": False}), "UNet has bias False"),
        (changed(inferer={"_target_": "SimpleInferer"}), "predicts with a SimpleInferer"),
        (
            changed(postprocessing={"transforms": [{"_target_": "A", "sigmoid": True}]}),
            "outputs may overlap",
        ),
        (with_transform({"_target_": "Lambdad", "func": PROGRAM}), "a program in it"),
        (with_transform({"_target_": "Resized", "spatial_size": [9, 9, 9]}), "with Resize"),
        (
            with_transform({"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 1}),
            "with ScaleIntensityRange",
        ),
        (with_transform({"_target_": "Orientationd", "axcodes": "PIR"}), "only RAS and LPS"),
        ({"network_def": UNET}, "no complete MONAI bundle"),
    ],
)
def test_refused(tmp_path, monkeypatch, config, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ForeignFileError, match=reason):
        import_checkpoint(bundle(tmp_path, config))
    assert not (tmp_path / "owned").exists()


def test_labels_that_do_not_fit_are_refused(tmp_path):
    metadata = copy.deepcopy(METADATA)
    del metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"]
    with pytest.raises(ForeignFileError, match="2 organs, and 1 are named"):
        import_checkpoint(bundle(tmp_path, metadata=metadata))
