"""Parts of MONAI's networks that torch.compile cannot follow, written so that it can.

They have MONAI's parameters and give MONAI's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.older_python import zip


class OneGraphUpCat(UpCat):
    """MONAI's ``UpCat`` without its check of a type at run time, at which tracing stops."""

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Upsample (N, C, ...), join it with ``skip`` on its grid where there is one, convolve."""
        upsampled: Tensor = self.upsample(features)
        if skip is None:
            joined = upsampled
        else:
            joined = torch.cat([skip, self._on_grid_of(skip, upsampled)], dim=1)
        convolved: Tensor = self.convs(joined)
        return convolved

    def _on_grid_of(self, skip: Tensor, upsampled: Tensor) -> Tensor:
        lacking = [there - here for there, here in zip(skip.shape, upsampled.shape, strict=True)]
        if not self.is_pad or not any(lacking[2:]):
            return upsampled
        ends = [end for length in reversed(lacking[2:]) for end in (0, int(length != 0))]
        return functional.pad(upsampled, ends, "replicate")


class OneGraphSwinUnetr(SwinUNETR):
    """MONAI's ``SwinUNETR`` whose check of the window's size needs no array of numpy's."""

    def _check_input_size(self, spatial_shape: Sequence[int]) -> None:
        divisor = self.patch_size**5
        if any(length % divisor for length in spatial_shape):
            raise ValueError(f"a window of {tuple(spatial_shape)} is no multiple of {divisor}")


def follow_up_cats(network: nn.Module) -> None:
    """Let each ``UpCat`` of a network, in place, run as `OneGraphUpCat`."""
    for module in network.modules():
        if type(module) is UpCat:
            # the network's constructor names the class; the two differ in what they run only
            module.__class__ = OneGraphUpCat
