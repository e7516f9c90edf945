"""Public ImageNet weights for the two branches of TransFuse, from files on this machine.

The paper starts from a pretrained ResNet (torchvision's or timm's file) and a pretrained DeiT
or ViT (the authors' or timm's file). Nothing is downloaded here and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_hybridseg.errors import UNREADABLE_PICKLE, HybridSegError
from napari_hybridseg.networks.resnet import ResNetV2
from napari_hybridseg.networks.vit import VisionTransformer, resize_positions

if TYPE_CHECKING:
    from napari_hybridseg.networks.transfuse import TransFuse

Branch = Literal["cnn", "transformer"]

_POSITIONS = "pos_embed"
_UNREADABLE: tuple[type[Exception], ...] = (*UNREADABLE_PICKLE, SafetensorError)


class BackboneWeightsError(HybridSegError):
    """A weight file that does not fit a branch of TransFuse."""


def load_backbone_weights(network: TransFuse, path: Path) -> Branch:
    """Copy the weights of a public image classifier into the branch that they fit.

    The classifier's last stage, its blocks beyond the branch's depth and its head are left
    out; its position embedding is interpolated to the branch's grid; its first convolution is
    averaged over the colours where the image has another number of channels.

    Parameters
    ----------
    network : TransFuse
        Changed in place.
    path : Path
        A ``.safetensors`` file, or a ``.pth`` file that holds tensors only.

    Returns
    -------
    {"cnn", "transformer"}
        The branch that now has the file's weights.

    Raises
    ------
    BackboneWeightsError
        If the file cannot be read safely, or is of no network that fits.
    """
    state = _read(path)
    if "patch_embed.proj.weight" in state:
        _fill(network.transformer, _for_grid(state, network.transformer, path), path)
        return "transformer"
    stem = "stem.conv.weight" if isinstance(network.cnn, ResNetV2) else "conv1.weight"
    if stem not in state:
        raise BackboneWeightsError(
            f"{path.name} holds no weights of a network that this TransFuse contains; "
            "give a torchvision ResNet, a timm ResNetV2 (BiT), a DeiT or a ViT file of its size."
        )
    _fill(network.cnn, state, path)
    return "cnn"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise BackboneWeightsError(
            f"{path.name} cannot be read as a file of weights alone; "
            "download it again from its publisher, as .safetensors where there is one."
        ) from error
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise BackboneWeightsError(
            f"{path.name} is not a table of weights; give the file that its publisher calls "
            "the model or the state dict."
        )
    return state


def _for_grid(
    state: Mapping[str, Tensor], transformer: VisionTransformer, path: Path
) -> dict[str, Tensor]:
    positions = state.get(_POSITIONS)
    if positions is None or positions.ndim != 3:
        raise BackboneWeightsError(
            f"{path.name} has no position embedding; give the file of a DeiT or a ViT."
        )
    side = isqrt(positions.shape[1])
    # One more than a square grid: the class token's, which comes first.
    patches = positions[:, positions.shape[1] - side * side :]
    if positions.shape[1] - side * side > 1:
        raise BackboneWeightsError(
            f"{path.name} has {positions.shape[1]} positions, which are no square grid with a "
            "class token; distilled DeiT files do not fit, give the plain one."
        )
    return {**state, _POSITIONS: resize_positions(patches, (side, side), transformer.grid)}


def _fill(branch: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    ours = branch.state_dict()
    wanted = {key: value for key, value in state.items() if key in ours}
    for key, value in wanted.items():
        colours, channels = value.shape[1:2], ours[key].shape[1:2]
        if value.ndim == 4 and colours != channels and colours == (3,):
            wanted[key] = _for_channels(value, channels[0])
    missing = sorted(
        key
        for key, value in ours.items()
        if not key.endswith("num_batches_tracked")
        and (key not in wanted or wanted[key].shape != value.shape)
    )
    if missing:
        raise BackboneWeightsError(
            f"{path.name} does not fit this TransFuse: {missing[0]} is missing or has another "
            f"shape ({len(missing)} in all); give the file of a network of its size."
        )
    branch.load_state_dict({**ours, **wanted})


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    # The sum over the channels stays, so a grey image excites the filters as its RGB copy would.
    return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (3 / channels)
