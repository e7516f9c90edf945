"""The network that an nnU-Net v2 plan describes, in the settings of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_hybridseg.interop.foreign_files import ForeignFileError

_NAMES = {
    "PlainConvUNet": ("plain-conv-unet", "n_conv_per_stage"),
    "ResidualEncoderUNet": ("residual-encoder-unet", "n_blocks_per_stage"),
}

# what our builder does; a plan that wants anything else is of another network
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "conv_bias": (True,),
    "norm_op": (
        "torch.nn.modules.instancenorm.InstanceNorm2d",
        "torch.nn.modules.instancenorm.InstanceNorm3d",
        "torch.nn.InstanceNorm2d",
        "torch.nn.InstanceNorm3d",
    ),
    "norm_op_kwargs": ({"eps": 1e-5, "affine": True},),
    "dropout_op": (None,),
    "nonlin": ("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU"),
    "nonlin_kwargs": ({"inplace": True}, {}, None),
    "nonlin_first": (False,),
}


def network_of_plan(plan: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give our architecture's name and config for one configuration of a plan.

    Plans of nnU-Net 2.0 to 2.3, which TotalSegmentator's weights have, list the sizes in the
    configuration itself; later ones name a class and its arguments.

    Raises
    ------
    ForeignFileError
        If it is a network that we do not have.
    """
    described = plan.get("architecture") or _from_old_plan(plan)
    name = str(described["network_class_name"]).rsplit(".", 1)[-1]
    if name not in _NAMES:
        raise ForeignFileError(
            f"This nnU-Net model is a {name}; only {' and '.join(_NAMES)} can be imported."
        )
    architecture, blocks = _NAMES[name]
    arguments = described["arch_kwargs"]
    _refuse_unknown(arguments, name)
    decoder = set(arguments["n_conv_per_stage_decoder"])
    if len(decoder) != 1:
        raise ForeignFileError(
            "This nnU-Net model has decoder stages with different numbers of convolutions, which "
            "our networks do not have, so it cannot be imported."
        )
    return architecture, {
        "spatial_dims": len(arguments["kernel_sizes"][0]),
        "channels": tuple(arguments["features_per_stage"]),
        "kernels": tuple(map(tuple, arguments["kernel_sizes"])),
        "strides": tuple(map(tuple, arguments["strides"])),
        "blocks": tuple(arguments[blocks]),
        "decoder_blocks": decoder.pop(),
    }


def _refuse_unknown(arguments: Mapping[str, Any], name: str) -> None:
    for key, allowed in _FIXED.items():
        if key in arguments and arguments[key] not in allowed:
            raise ForeignFileError(
                f"This nnU-Net model is a {name} with {key} {arguments[key]!r}, which our network "
                "does not have, so it cannot be imported."
            )


def _from_old_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    stages = len(plan["n_conv_per_stage_encoder"])
    name = plan["UNet_class_name"]
    widest = plan["unet_max_num_features"]
    arguments = {
        "features_per_stage": [
            min(plan["UNet_base_num_features"] * 2**stage, widest) for stage in range(stages)
        ],
        "kernel_sizes": plan["conv_kernel_sizes"],
        "strides": plan["pool_op_kernel_sizes"],
        "n_conv_per_stage_decoder": plan["n_conv_per_stage_decoder"],
    }
    if name in _NAMES:
        arguments[_NAMES[name][1]] = plan["n_conv_per_stage_encoder"]
    return {"network_class_name": name, "arch_kwargs": arguments}
