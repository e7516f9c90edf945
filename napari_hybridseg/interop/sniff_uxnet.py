"""Recognising a file of the authors' 3D UX-Net."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_hybridseg.interop.sniffed import Sniffed, count

_STEM = "uxnet_3d.downsample_layers.0.0.weight"
_STAGES = range(4)


def sniff_uxnet(state: Mapping[str, Tensor]) -> Sniffed | None:
    """Tell what a 3D UX-Net is like from its weights; None if it is none."""
    if _STEM not in state:
        return None
    return Sniffed(
        architecture="uxnet-3d",
        config={
            "depths": tuple(count(state, f"uxnet_3d.stages.{i}.") for i in _STAGES),
            "feature_sizes": tuple(len(state[f"uxnet_3d.norm{i}.weight"]) for i in _STAGES),
            "hidden_size": len(state["encoder5.layer.conv1.conv.weight"]),
            "kernel": state["uxnet_3d.stages.0.0.dwconv.weight"].shape[-1],
            "block": _block(state["uxnet_3d.stages.0.0.pwconv1.weight"]),
        },
        in_channels=state[_STEM].shape[1],
        num_classes=len(state["out.conv.conv.weight"]),
    )


def _block(widen: Tensor) -> str:
    """Tell the kind of a block from what widens its channels."""
    if widen.ndim == 2:
        return "mlp"
    return "dcs" if widen.shape[1] == 1 else "legacy"
