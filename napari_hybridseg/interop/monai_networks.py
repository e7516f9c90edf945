"""The network that a MONAI bundle's ``network_def`` names, in the settings of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.interop.monai_mednext import size_of_mednext, with_expansion_of_each_stage


@dataclass(frozen=True)
class _Class:
    """How one of MONAI's classes is said in our words.

    Attributes
    ----------
    architecture : str
        Our name.
    settings : dict
        MONAI's argument to (our setting, MONAI's default).
    fixed : dict
        Arguments that our builder does not pass on, with MONAI's default, which must hold.
    free : tuple of str
        Arguments that do not matter for a trained network.
    """

    architecture: str
    settings: Mapping[str, tuple[str, Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()


_DIMS = {"spatial_dims": ("spatial_dims", 3)}
_FEATURES = (32, 32, 64, 128, 256, 32)
_BASIC = {
    **_DIMS,
    "features": ("features", _FEATURES),
    "norm": ("norm", "instance"),
    "upsample": ("upsample", "deconv"),
}
_STRIDED = {
    **_DIMS,
    "channels": ("channels", None),
    "strides": ("strides", None),
    "kernel_size": ("kernel", 3),
}
# beside a layer's name: what the weights show or only training needs, and what must be torch's
_FREE_OPTIONS = ("affine", "inplace", "momentum", "num_parameters", "init")
_OPTIONS = {"eps": 1e-5, "negative_slope": 0.01}

_CLASSES: Mapping[str, _Class] = {
    "UNet": _Class(
        "unet",
        {
            **_STRIDED,
            "num_res_units": ("num_res_units", 0),
            "act": ("act", "prelu"),
            "norm": ("norm", "instance"),
        },
        {"up_kernel_size": 3, "bias": True, "adn_ordering": "NDA"},
        ("dropout",),
    ),
    "AttentionUnet": _Class("attention-unet", _STRIDED, {"up_kernel_size": 3}, ("dropout",)),
    "BasicUNet": _Class("basic-unet", _BASIC, {"bias": True}, ("dropout",)),
    "BasicUNetPlusPlus": _Class(
        "unet-plus-plus",
        {**_BASIC, "deep_supervision": ("deep_supervision", False)},
        {"bias": True},
        ("dropout",),
    ),
    "VNet": _Class(
        "vnet",
        _DIMS,
        {"bias": False},
        ("dropout_prob", "dropout_prob_down", "dropout_prob_up", "dropout_dim"),
    ),
    "SegResNet": _Class(
        "segresnet",
        {
            **_DIMS,
            "init_filters": ("init_filters", 8),
            "blocks_down": ("blocks_down", (1, 2, 2, 4)),
            "blocks_up": ("blocks_up", (1, 1, 1)),
        },
        {"use_conv_final": True, "num_groups": 8, "upsample_mode": "nontrainable"},
        ("dropout_prob",),
    ),
    "UNETR": _Class(
        "unetr",
        {
            **_DIMS,
            "img_size": ("img_size", None),
            "feature_size": ("feature_size", 16),
            "hidden_size": ("hidden_size", 768),
            "mlp_dim": ("mlp_dim", 3072),
            "num_heads": ("num_heads", 12),
        },
        {
            "proj_type": "conv",
            "norm_name": "instance",
            "conv_block": True,
            "res_block": True,
            "qkv_bias": False,
        },
        ("dropout_rate", "save_attn"),
    ),
    "SwinUNETR": _Class(
        "swin-unetr",
        {
            **_DIMS,
            "feature_size": ("feature_size", 24),
            "depths": ("depths", (2, 2, 2, 2)),
            "num_heads": ("num_heads", (3, 6, 12, 24)),
            "window_size": ("window_size", 7),
        },
        {
            "norm_name": "instance",
            "qkv_bias": True,
            "mlp_ratio": 4.0,
            "patch_size": 2,
            "normalize": True,
            "patch_norm": False,
            "downsample": "merging",
            "use_v2": False,
        },
        ("img_size", "drop_rate", "attn_drop_rate", "dropout_path_rate", "use_checkpoint"),
    ),
    "MedNeXt": _Class(
        "mednext",
        {
            **_DIMS,
            "init_filters": ("init_filters", 32),
            "kernel_size": ("kernel", 7),
            "encoder_expansion_ratio": ("encoder_expansion", 2),
            "bottleneck_expansion_ratio": ("bottleneck_expansion", 2),
            "decoder_expansion_ratio": ("decoder_expansion", 2),
            "blocks_down": ("blocks_down", (2, 2, 2, 2)),
            "blocks_bottleneck": ("blocks_bottleneck", 2),
            "blocks_up": ("blocks_up", (2, 2, 2, 2)),
            "use_residual_connection": ("residual", False),
        },
        {"deep_supervision": False, "norm_type": "group", "global_resp_norm": False},
    ),
}
_SPELLINGS = {name.lower(): name for name in (*_CLASSES, "DynUNet")}


def network_of_definition(definition: Mapping[str, Any]) -> tuple[str, dict[str, Any], int, int]:
    """Give our architecture, its config, and the numbers of input channels and classes.

    Parameters
    ----------
    definition : mapping
        MONAI's ``network_def``, every reference resolved.

    Raises
    ------
    ForeignFileError
        If it is a network, or a variant of one, that we do not have.
    """
    arguments = {key: value for key, value in definition.items() if not key.startswith("_")}
    target = str(definition["_target_"]).rsplit(".", 1)[-1]
    # MONAI has each class under several spellings
    name = _SPELLINGS.get(target.lower(), target)
    inputs, outputs = int(arguments.pop("in_channels")), int(arguments.pop("out_channels"))
    for key, value in arguments.items():
        _refuse_options(name, key, value)
    if name == "DynUNet":
        return "dynunet", _dynunet(arguments), inputs, outputs
    size = size_of_mednext(target)
    if size is not None:
        name, arguments = "MedNeXt", {**size, **arguments}
    if name not in _CLASSES:
        raise ForeignFileError(
            f"This MONAI bundle's network is a {name}; these can be imported: "
            f"{', '.join((*_CLASSES, 'DynUNet'))}."
        )
    known = _CLASSES[name]
    for key, value in arguments.items():
        if key in known.settings or key in known.free:
            continue
        if key not in known.fixed or _plain(value) != _plain(known.fixed[key]):
            _refuse(name, key, value)
    settings = {
        ours: _plain(arguments.get(key, default)) for key, (ours, default) in known.settings.items()
    }
    if name == "MedNeXt":
        settings = with_expansion_of_each_stage(settings)
    return known.architecture, settings, inputs, outputs


def _dynunet(arguments: Mapping[str, Any]) -> dict[str, Any]:
    strides = [_plain(step) for step in arguments["strides"]]
    if [_plain(step) for step in arguments["upsample_kernel_size"]] != strides[1:]:
        _refuse("DynUNet", "upsample_kernel_size", arguments["upsample_kernel_size"])
    norm = arguments.get("norm_name", "instance")
    if _plain(norm) != "instance":
        _refuse("DynUNet", "norm_name", norm)
    activation = arguments.get("act_name", "leakyrelu")
    if _plain(activation) != "leakyrelu":
        _refuse("DynUNet", "act_name", activation)
    if arguments.get("trans_bias"):
        _refuse("DynUNet", "trans_bias", True)
    dims = int(arguments["spatial_dims"])
    widest = 320 if dims == 3 else 512
    return {
        "spatial_dims": dims,
        "kernels": tuple(_plain(size) for size in arguments["kernel_size"]),
        "strides": tuple(strides),
        "channels": tuple(
            arguments.get("filters") or (min(2 ** (5 + i), widest) for i in range(len(strides)))
        ),
        "deep_supervision": (
            int(arguments.get("deep_supr_num", 1)) if arguments.get("deep_supervision") else 0
        ),
        "residual": bool(arguments.get("res_block", False)),
    }


def _refuse_options(name: str, key: str, value: Any) -> None:
    """Refuse ``["LEAKYRELU", {"negative_slope": 0.2}]``, which weights do not show."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    options = value[1] if pair and isinstance(value[1], Mapping) else {}
    for option, given in options.items():
        if option not in _FREE_OPTIONS and given != _OPTIONS.get(option):
            _refuse(name, key, value)


def _refuse(name: str, key: str, value: Any) -> None:
    raise ForeignFileError(
        f"This MONAI bundle's {name} has {key} {value!r}, which our network does not have, so it "
        "cannot be imported."
    )


def _plain(value: Any) -> Any:
    """Write lists as tuples, names in lower case, and ``["INSTANCE", {...}]`` as its name."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and isinstance(value[0], str):
            return value[0].lower()
        return tuple(_plain(item) for item in value)
    return value
